"""Make a candidate's model on tensors without values and without a device, for the extensions that its constructor asks
for: they are built before a device is taken."""
from __future__ import annotations

from types import ModuleType

import torch
from torch._subclasses import fake_tensor

from common.errors import UsageError
from common.judge.check import CaseUnusable, TaskProblem, load_task, make_init_inputs, plan_cases
from common.judge.child.extension import BuildError
from common.judge.protocol import Construct, Constructed

_WORDS = 300


def construct(module: ModuleType, order: Construct) -> Constructed:
    """Raises BuildError where the constructor does. Whatever else it raises may be for want of values or a device."""
    try:
        task = load_task(order.task)
        own = next(case for case in plan_cases(task, secret=b"construct") if case.name == "own")
        arguments = make_init_inputs(task, own)
    except (TaskProblem, CaseUnusable, UsageError) as problem:
        return Constructed(missed=str(problem)[:_WORDS])
    try:
        with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            module.ModelNew(*arguments)
    except BuildError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of foreign code, which is made for tensors with values
        return Constructed(missed=f"{type(error).__name__}: {error}"[:_WORDS])
    return Constructed()
