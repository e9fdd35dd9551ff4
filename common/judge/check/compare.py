"""Compare what a candidate returned with what was expected: structure, form of each output, then its values."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import torch

from common.judge.check.finding import Finding
from common.judge.check.measure import farther, rms_beyond, rms_difference
from common.judge.check.pattern import differences, is_stale, pattern_of
from common.judge.check.places import misplaced
from common.judge.check.policy import EXTREME, CheckPolicy
from common.judge.check.precision import granted_error, lower_precision
from common.judge.check.reference import Expected
from common.judge.check.structure import same_structure
from common.messages.judgement import Outcome

Overlap = Literal["", "input", "earlier output", "other output"]
_FEW = 2
"""Values far off at most for which more moves are tried; in a large output one of 1,000."""


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


def compare(
    expected: Expected, spec: str, outputs: list[Returned], policy: CheckPolicy, *, previous: Expected | None = None
) -> Finding | None:
    """The first thing wrong with `outputs` (structure `spec`, see `flatten`), or None.

    `previous` is the reference of the call before this one: with it a stale result is named as such.
    """
    if not same_structure(expected.spec, spec) or len(outputs) != len(expected.eager):
        what = f"forward returned {spec[:200]}, the task returns {expected.spec[:200]}"
        return Finding(outcome=Outcome.WRONG_SHAPE, case=expected.case, what=what)
    for index, returned in enumerate(outputs):
        finding = _form(expected, index, returned) or _values(expected, index, returned.value, policy)
        if finding:
            return _named(finding, expected, returned.value, previous)
    return None


def error_ratios(expected: Expected, outputs: list[Any], policy: CheckPolicy) -> list[float]:
    """Error ratio of each floating output, for the record and for calibration; shapes and dtypes must be right."""
    return [
        _ratio(expected, i, value.to(expected.device), policy)
        for i, value in enumerate(outputs)
        if expected.scales[i] is not None
    ]


def unit_of_error(expected: Expected, index: int, policy: CheckPolicy) -> float:
    """One unit of error: eager's own, at least what the inputs' rounding alone makes, at least the floor."""
    return max(eager_unit(expected, index, policy), expected.noise[index])


def _ratio(expected: Expected, index: int, got: torch.Tensor, policy: CheckPolicy) -> float:
    """Error over eager's own. Where that is much: in units that count the inputs' rounding as well, and then without
    the values that this rounding alone may tip over. Each step is costlier and taken by fewer."""
    exact, plain = expected.exact[index], policy.ratio_for(got.dtype)
    error = rms_difference(got, exact)
    if (ratio := error / eager_unit(expected, index, policy)) <= plain:
        return ratio
    unit = unit_of_error(expected, index, policy)
    return error / unit if error <= plain * unit else rms_beyond(got, exact, expected.spread[index]) / unit


def eager_unit(expected: Expected, index: int, policy: CheckPolicy) -> float:
    """Eager's own error, at least the floor."""
    scale, info = expected.scales[index], torch.finfo(expected.eager[index].dtype)
    assert scale is not None, "only floating outputs have an error ratio"
    return max(scale.eager, policy.floor * info.eps * scale.value, info.tiny)


def _form(expected: Expected, index: int, got: Returned) -> Finding | None:
    """Everything about an output but its values."""
    eager = expected.eager[index]
    if not isinstance(eager, torch.Tensor):
        return None
    ours, value = _word(expected, index), got.value
    if got.type_name not in ("Tensor", "Parameter"):
        what = f"{ours} is a {got.type_name}, whose work may not be done when forward returns: return a plain tensor"
        return _finding(Outcome.CHEATED, expected, index, what)
    if value.dtype != eager.dtype:
        what = f"{ours} is {_name(value.dtype)}, the task's is {_name(eager.dtype)}"
        return _finding(Outcome.WRONG_DTYPE, expected, index, what)
    if value.shape != eager.shape:
        what = f"{ours} has shape {tuple(value.shape)}, the task's is {tuple(eager.shape)}"
        return _finding(Outcome.WRONG_SHAPE, expected, index, what)
    if value.is_meta:
        return _finding(Outcome.CHEATED, expected, index, f"{ours} is said to have no room, and the task's own has it")
    if got.device and got.device != expected.device.type:
        what = f"{ours} is on {got.device}, the task's is on {expected.device.type}"
        return _finding(Outcome.RUNTIME_ERROR, expected, index, what)
    if got.overlap and not (got.overlap == "input" and expected.aliases[index]):
        what = f"{ours} shares its memory with an {got.overlap}: a caller who keeps one finds it changed by the other"
        return _finding(Outcome.WRONG_VALUES, expected, index, what.replace("an other", "another"), pattern="aliased")
    return None


def _values(expected: Expected, index: int, got: Any, policy: CheckPolicy) -> Finding | None:
    eager, exact = expected.eager[index], expected.exact[index]
    if not isinstance(eager, torch.Tensor):
        return _number(expected, index, got)
    got = got.to(expected.device)
    if expected.scales[index] is None:
        return _discrete(expected, index, got)
    if wrong := misplaced(got, eager, exact):
        return _finding(Outcome.WRONG_VALUES, expected, index, wrong.what, pattern=wrong.pattern,
                        differences=differences(got, exact, wrong.where))
    return _rounded(expected, index, got, policy)


def _rounded(expected: Expected, index: int, got: torch.Tensor, policy: CheckPolicy) -> Finding | None:
    """Floating values, by error ratio; for a suspect the precisions that may explain it are tried."""
    exact, kind = expected.exact[index], expected.case.kind
    limit = policy.limit_for(got.dtype, expected.longest_sum, kind)
    ratio = _ratio(expected, index, got, policy)
    if ratio <= policy.unsuspected_for(got.dtype):
        return None
    error = rms_difference(got, exact)
    if error <= granted_error(expected, index, policy.precision):
        return None
    lower = lower_precision(expected, index, got, error, policy.precision)
    if ratio <= limit and (not lower or kind in EXTREME):
        return None
    unit = unit_of_error(expected, index, policy)
    far = farther(got, exact, limit * unit)
    if not lower and _few(far):
        ratio = rms_beyond(got, exact, expected.closer[index]) / unit
        if ratio <= limit:
            return None
    share = int(far.sum()) / max(1, far.numel())
    return _finding(
        Outcome.PRECISION_DOWNGRADE if lower else Outcome.WRONG_VALUES, expected, index,
        f"the error is {ratio:.3g} times eager's (limit {limit:.0f}), {share:.1%} of the values are far off",
        ratio=ratio, limit=limit, share=share, precision=lower,
        pattern="" if lower else pattern_of(got, exact, far), differences=differences(got, exact, far),
    )


def _discrete(expected: Expected, index: int, got: torch.Tensor) -> Finding | None:
    """Integers and booleans: each equals eager's, or fp64's, or fp64's when inputs move in their last place."""
    eager, exact = expected.eager[index], expected.exact[index]
    far = (got != eager) & (got != exact)
    if bool(far.any()):
        far = _unexplained(far, got, expected.spread[index])
    if _few(far):
        far = _unexplained(far, got, expected.closer[index])
    wrong = int(far.sum())
    if wrong == 0:
        return None
    return _finding(
        Outcome.WRONG_VALUES, expected, index, f"{wrong} of {got.numel()} values differ", share=wrong / got.numel(),
        pattern=pattern_of(got, exact, far), differences=differences(got, exact, far),
    )


def _unexplained(far: torch.Tensor, got: torch.Tensor, moves: list[torch.Tensor]) -> torch.Tensor:
    """Those that no move gives."""
    for moved in moves:
        far = far & (got != moved)
    return far


def _few(far: torch.Tensor) -> bool:
    """Whether a rounding or a threshold inside the task may have tipped them over, and no move has found it yet."""
    return 0 < int(far.sum()) <= max(_FEW, far.numel() // 1000)


def _number(expected: Expected, index: int, got: Any) -> Finding | None:
    """A plain Python number: a float within rounding of fp32, anything else equal."""
    eager, exact = expected.eager[index], expected.exact[index]
    if type(got) is not type(eager):
        what = f"output {index} is {type(got).__name__}, the task's is {type(eager).__name__}"
        return _finding(Outcome.WRONG_DTYPE, expected, index, what)
    if _close(got, eager, exact) if isinstance(eager, float) else got in (eager, exact):
        return None
    return _finding(Outcome.WRONG_VALUES, expected, index, f"output {index} is {got!r}, the task's is {eager!r}")


def _close(got: float, eager: float, exact: float) -> bool:
    unit = max(abs(eager - exact), torch.finfo(torch.float32).eps * abs(exact))
    return got == eager or (got != got and eager != eager) or abs(got - exact) <= 16 * unit


def _named(finding: Finding, expected: Expected, got: Any, previous: Expected | None) -> Finding:
    """The finding, called stale where what should have changed since the call before did not."""
    if finding.outcome is not Outcome.WRONG_VALUES or previous is None or finding.output >= len(previous.exact):
        return finding
    before, now = previous.exact[finding.output], expected.exact[finding.output]
    if isinstance(before, torch.Tensor) and before.shape == now.shape and is_stale(got.to(now.device), before, now):
        return msgspec.structs.replace(finding, pattern="stale")
    return finding


def _finding(outcome: Outcome, expected: Expected, index: int, what: str, **fields: Any) -> Finding:
    return Finding(outcome=outcome, case=expected.case, what=what, output=index, **fields)


def _word(expected: Expected, index: int) -> str:
    return "the output" if len(expected.eager) == 1 else f"output {index}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

