"""Reject a task that cannot tell a right kernel from a wrong one."""
from __future__ import annotations

from typing import Any

import torch

from common.judge.check.cases import Case, base_cases
from common.judge.check.inputs import build_model, make_inputs
from common.judge.check.measure import finite_share, is_inexact, rms, rms_difference
from common.judge.check.policy import CheckPolicy
from common.judge.check.reference import Expected, Scale, reference, run_eager
from common.judge.check.structure import flatten
from common.judge.check.task import TaskModule, TaskProblem

_SIGNAL = 100.0
"""Outputs for different inputs must differ by this many times eager's own error in one case at least."""

_REPEATABLE = 1e-3
"""Two runs may differ by this share of the result's RMS: more than reordered sums make, less than random numbers do."""


def check_task(task: TaskModule, device: torch.device | str, policy: CheckPolicy, *, secret: bytes) -> str | None:
    """The reason why candidates for this task cannot be judged, or None.

    The task must run, return tensors that are finite on its own inputs, be repeatable (also in a second call of one
    model) and return something that depends on its inputs by more than rounding.
    """
    cases = {case.name: case for case in base_cases(secret)}
    try:
        own = reference(task, cases["own"], device, policy)
        if own.unusable:
            return own.unusable
        return _form(own) or _repeatable(own, policy) or _depends(task, own, cases, policy)
    except TaskProblem as problem:
        return str(problem)


def _form(own: Expected) -> str | None:
    tensors = [leaf for leaf in own.eager if isinstance(leaf, torch.Tensor)]
    if not tensors or not any(leaf.numel() for leaf in tensors):
        return "the model returns no tensor with elements"
    if min(map(finite_share, tensors)) < 1:
        return "the model's result on its own inputs holds NaN or infinities"
    return None


def _repeatable(own: Expected, policy: CheckPolicy) -> str | None:
    """Two fresh models agree, and so do two calls of one: rounding apart, since atomics reorder sums."""
    inputs = make_inputs(own.task, own.case, own.device)
    model = build_model(own.task, own.case, own.device)
    again = run_eager(model, inputs, policy.precision).leaves
    if not _agree(own, again):
        return "two runs on equal inputs differ (dropout or other random numbers?): call .eval() or remove them"
    with torch.no_grad():
        model(*inputs)
        second = flatten(model(*make_inputs(own.task, own.case, own.device)))[1]
    if not _agree(own, second):
        return "a second call of the same model on equal inputs differs: the result depends on earlier calls"
    return None


def _agree(own: Expected, leaves: Any) -> bool:
    return len(leaves) == len(own.eager) and all(map(_equal, own.eager, leaves))


def _equal(ours: Any, theirs: Any) -> bool:
    """Equal up to the order of sums."""
    if not isinstance(ours, torch.Tensor) or not is_inexact(ours):
        return bool(ours == theirs) if not isinstance(ours, torch.Tensor) else torch.equal(ours, theirs)
    return ours.shape == theirs.shape and rms_difference(ours, theirs) <= _REPEATABLE * rms(ours)


def _depends(task: TaskModule, own: Expected, cases: dict[str, Case], policy: CheckPolicy) -> str | None:
    noise = own.noise  # now: it takes memory that a large task's device does not have beside another reference
    for name in ("own-again", "normal", "large", "negative"):
        other = reference(task, cases[name], own.device, policy)
        if other.usable and any(
            _signal(scale, rounding, ours, theirs)
            for scale, rounding, ours, theirs in zip(own.scales, noise, own.exact, other.exact, strict=True)
        ):
            return None
    return "the output does not depend on the inputs: a constant would pass for a kernel"


def _signal(scale: Scale | None, noise: float, ours: Any, theirs: Any) -> bool:
    """Whether two results differ by more than rounding."""
    if not isinstance(ours, torch.Tensor):
        return bool(ours != theirs)
    if ours.shape != theirs.shape:
        return True
    if not is_inexact(ours) or scale is None:
        return not torch.equal(ours, theirs)
    return rms_difference(ours, theirs) > _SIGNAL * max(scale.eager, noise)
