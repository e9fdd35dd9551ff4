"""Choose the cases of a task: what every task gets, and the other shapes this one accepts."""
from __future__ import annotations

import torch

from common.judge.check.cases import Case, base_cases, constant_case, row_cases
from common.judge.check.inputs import CaseUnusable, build_model, make_inputs
from common.judge.check.structure import flatten
from common.judge.check.task import TaskModule, TaskProblem

_CONSTANTS = 2
"""How many of a task's constants are set otherwise, one at a time."""


def plan_cases(task: TaskModule, *, secret: bytes) -> list[Case]:
    """The cases a candidate is judged by, those of one weight seed together.

    Shapes are probed on torch's meta device, which computes nothing; where a task does not run there, all cases are
    proposed and `reference` says which of them it accepts.
    """
    cases = base_cases(secret)
    shapes = _accepted(row_cases(secret, first_only=False), task) or _accepted(row_cases(secret, first_only=True), task)
    known = _rows_of(task, cases[0]) if shapes else None
    named = sorted(task.constants.items(), key=lambda item: item[1] == known)
    constants = [constant_case(secret, name, _other(value)) for name, value in named if value > 1]
    chosen = _accepted(constants, task)[:_CONSTANTS]
    last = max(i for i, case in enumerate(cases) if case.weight_seed == cases[0].weight_seed) + 1
    return cases[:last] + shapes + cases[last:] + chosen


def _rows_of(task: TaskModule, case: Case) -> int | None:
    """Rows of the first input: a constant of that value comes last, the row cases change the same."""
    first = _shapes(task, case)[0]
    return first[0] if first else None


def _other(value: int) -> int:
    """A nearby size that is no power of two."""
    return value + 1 if value < 8 else value - value // 4 - 1


def _accepted(cases: list[Case], task: TaskModule) -> list[Case]:
    return [case for case in cases if _accepts(task, case)]


def _accepts(task: TaskModule, case: Case) -> bool:
    """Whether the task runs on the case's shapes and they are others than its own."""
    own = Case(name="own", seed=case.seed, weight_seed=case.weight_seed)
    try:
        return _shapes(task, case) != _shapes(task, own)
    except (TaskProblem, CaseUnusable):
        return False
    except Exception:  # noqa: BLE001 - whatever torch raises on other shapes means: not these
        return False


def _shapes(task: TaskModule, case: Case) -> tuple[tuple[int, ...], ...]:
    """Shapes of all inputs, then of all outputs."""
    inputs = make_inputs(task, case, "meta")
    with torch.no_grad():
        outputs = build_model(task, case, "meta")(*inputs)
    return tuple(tuple(x.shape) for x in flatten([inputs, outputs])[1] if isinstance(x, torch.Tensor))
