"""Compare what a candidate returned with what was expected: structure, type, dtype, shape, places, then values."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from common.judge.check.measure import is_inexact, rms_difference
from common.judge.check.pattern import differences, pattern_of
from common.judge.check.places import misplaced
from common.judge.check.policy import CheckPolicy
from common.judge.check.precision import lower_precision
from common.judge.check.reference import Expected, Scale
from common.judge.check.structure import same_structure
from common.messages.judgement import Difference, Outcome

Overlap = Literal["", "input", "earlier output", "other output"]


@dataclass(frozen=True)
class Returned:
    """One leaf as it arrived in the judge, with what was seen of the original."""

    value: Any
    """A tensor rebuilt from the bytes the judge holds, or a plain number."""
    type_name: str = "Tensor"
    """Name of the exact type in the candidate's process."""
    device: str = ""
    """Device type it lived on; empty where unknown."""
    overlap: Overlap = ""
    """Whose storage it shares: a caller who keeps one finds it changed by the other."""


@dataclass(frozen=True)
class Finding:
    """Why a result is not right. Judged per case; the first finding of a candidate decides."""

    outcome: Outcome
    case: str
    what: str
    """One sentence."""
    output: int = 0
    ratio: float | None = None
    """Candidate's RMS error over eager's."""
    limit: float | None = None
    pattern: str = ""
    precision: str = ""
    """The lower precision in which the result would be right."""
    differences: tuple[Difference, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    """Evidence: error, eager's error, noise, share of elements that differ."""


def compare(expected: Expected, spec: str, outputs: list[Returned], policy: CheckPolicy) -> Finding | None:
    """The first thing wrong with `outputs` (structure `spec`, see `flatten`), or None."""
    case = expected.case.name
    if not same_structure(expected.spec, spec) or len(outputs) != len(expected.eager):
        return Finding(Outcome.WRONG_SHAPE, case, f"forward returned {spec}, the task returns {expected.spec}")
    for index, returned in enumerate(outputs):
        if finding := _form(expected, index, returned) or _values(expected, index, returned.value, policy):
            return finding
    return None


def error_ratios(expected: Expected, outputs: list[Any], policy: CheckPolicy) -> list[float]:
    """Error ratio of each floating output, for the record and for calibration; same shapes are taken for granted."""
    return [
        _ratio(rms_difference(value.to(expected.device), exact), scale, value.dtype, policy)
        for value, exact, scale in zip(outputs, expected.exact, expected.scales, strict=True)
        if scale is not None
    ]


def _form(expected: Expected, index: int, got: Returned) -> Finding | None:
    """Everything about an output but its values."""
    case, eager = expected.case.name, expected.eager[index]
    where = f"output {index}" if len(expected.eager) > 1 else "the output"
    if not isinstance(eager, torch.Tensor):
        return None
    if got.type_name not in ("Tensor", "Parameter"):
        what = f"{where} is a {got.type_name}, whose work may not be done when forward returns: return a plain tensor"
        return Finding(Outcome.CHEATED, case, what, index)
    value: torch.Tensor = got.value
    if value.dtype != eager.dtype:
        what = f"{where} is {_name(value.dtype)}, the task's is {_name(eager.dtype)}"
        return Finding(Outcome.WRONG_DTYPE, case, what, index)
    if value.shape != eager.shape:
        what = f"{where} has shape {tuple(value.shape)}, the task's is {tuple(eager.shape)}"
        return Finding(Outcome.WRONG_SHAPE, case, what, index)
    if got.device and got.device != expected.device.type:
        return Finding(
            Outcome.RUNTIME_ERROR, case, f"{where} is on {got.device}, the task's is on {expected.device.type}", index
        )
    if got.overlap and not (got.overlap == "input" and expected.aliases[index]):
        return Finding(Outcome.WRONG_VALUES, case, f"{where} shares its memory with an {got.overlap}", index,
                       pattern="aliased")
    return None


def _values(expected: Expected, index: int, got: Any, policy: CheckPolicy) -> Finding | None:
    eager, exact, scale = expected.eager[index], expected.exact[index], expected.scales[index]
    if not isinstance(eager, torch.Tensor):
        return _number(expected, index, got)
    got = got.to(expected.device)
    if scale is None:
        return _discrete(expected, index, got, policy)
    if wrong := misplaced(got, eager, exact):
        return Finding(Outcome.WRONG_VALUES, expected.case.name, wrong.what, index, pattern=wrong.pattern,
                       differences=differences(got, exact, wrong.where))
    return _rounded(expected, index, got, scale, policy)


def _rounded(expected: Expected, index: int, got: torch.Tensor, scale: Scale, policy: CheckPolicy) -> Finding | None:
    """Floating values by error ratio."""
    exact = expected.exact[index]
    error = rms_difference(got, exact)
    ratio, limit = _ratio(error, scale, got.dtype, policy), policy.ratio_for(got.dtype)
    if ratio <= limit:
        return None
    lower = lower_precision(expected, index, got, error)
    if lower and lower.allowed(policy.precision):
        return None
    far = (got.to(exact.dtype) - exact).abs() > limit * _unit(scale, got.dtype, policy)
    pattern = pattern_of(got, exact, far, expected, index)
    record = {"error": error, "eager_error": scale.eager, "noise": scale.noise, "rms": scale.value,
              "share": float(far.double().mean())}
    if lower:
        what = f"right only in {lower.name}: the error is {ratio:.0f} times eager's (limit {limit:.0f})"
        return Finding(Outcome.PRECISION_DOWNGRADE, expected.case.name, what, index, ratio, limit, pattern, lower.name,
                       differences(got, exact, far), record)
    what = f"the error is {ratio:.3g} times eager's (limit {limit:.0f}), {record['share']:.1%} of the values are off"
    return Finding(Outcome.WRONG_VALUES, expected.case.name, what, index, ratio, limit, pattern, "",
                   differences(got, exact, far), record)


def _unit(scale: Scale, dtype: torch.dtype, policy: CheckPolicy) -> float:
    """One unit of error: eager's own, at least what the inputs' rounding alone makes, at least the floor."""
    info = torch.finfo(dtype)
    return max(scale.eager, scale.noise, policy.floor * info.eps * scale.value, info.tiny)


def _ratio(error: float, scale: Scale, dtype: torch.dtype, policy: CheckPolicy) -> float:
    return error / _unit(scale, dtype, policy)


def _discrete(expected: Expected, index: int, got: torch.Tensor, policy: CheckPolicy) -> Finding | None:
    """Integers and booleans: each equals eager's or fp64's; where those two disagree, that often again is granted."""
    eager, exact = expected.eager[index], expected.exact[index]
    far = (got != eager) & (got != exact)
    wrong, granted = int(far.sum()), int(policy.ratio * int((eager != exact).sum()))
    if wrong <= granted:
        return None
    pattern = pattern_of(got, exact, far, expected, index)
    return Finding(Outcome.WRONG_VALUES, expected.case.name, f"{wrong} of {got.numel()} values differ", index,
                   pattern=pattern, differences=differences(got, exact, far), record={"share": wrong / got.numel()})


def _number(expected: Expected, index: int, got: Any) -> Finding | None:
    eager, exact = expected.eager[index], expected.exact[index]
    if type(got) is not type(eager):
        what = f"output {index} is {type(got).__name__}, the task's is {type(eager).__name__}"
        return Finding(Outcome.WRONG_DTYPE, expected.case.name, what, index)
    if isinstance(eager, float):
        unit = max(abs(eager - exact), torch.finfo(torch.float32).eps * abs(exact))
        right = got == eager or abs(got - exact) <= 16 * unit or (got != got and eager != eager)
    else:
        right = got in (eager, exact)
    return None if right else Finding(
        Outcome.WRONG_VALUES, expected.case.name, f"output {index} is {got!r}, the task's is {eager!r}", index
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def inexact(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and is_inexact(value)
