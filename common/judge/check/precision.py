"""Lower precisions, emulated in fp64: to grant a task the one it allows, and to name the one a candidate slipped into.

A result computed from rounded operands errs the way those operands err, so its error points in the direction of the
emulated one; a wrong formula's does not, however small it is.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from common.judge.check.inputs import build_model
from common.judge.check.measure import pieces, rms_difference
from common.judge.check.reference import Expected, if_room, run_wide
from common.judge.check.widen import MANTISSA, round_mantissa, rounded_inputs, rounded_model

_ORDER = {"fp32": 0, "tf32": 1, "bf16": 2}
_GRANTED = 2.0
"""A task that allows a precision accepts this many times the largest error its emulations make."""
_WINDOW = 4.0
"""An error within this factor of an emulated one, either way, may be its like."""
_ALIGNED = 0.5
"""Least cosine between a candidate's error and an emulated one for the two to have one cause."""
_FEWEST = 16
"""Values below which a cosine says nothing."""


def granted_error(expected: Expected, index: int, precision: str) -> float:
    """RMS error that a task of `precision` accepts of an fp32 output; 0 where it asks for fp32."""
    if _ORDER[precision] == 0 or not _lowers(expected, index):
        return 0.0
    names = [name for name, order in _ORDER.items() if 0 < order <= _ORDER[precision]]
    errors = [_error(emulate(), expected, index) for name in names for emulate in _emulations(expected, index, name)]
    return _GRANTED * max(errors, default=0.0)


def _error(low: torch.Tensor | None, expected: Expected, index: int) -> float:
    return 0.0 if low is None else rms_difference(low, expected.exact[index])


def lower_precision(expected: Expected, index: int, got: torch.Tensor, error: float, allowed: str) -> str:
    """`tf32` (fp16 keeps as many bits and is called so), `bf16`, or an empty string: the precision below the allowed
    one that explains the error, which is the RMS over all values."""
    if not _lowers(expected, index) or got.numel() < _FEWEST:
        return ""
    exact = expected.exact[index]
    for name in ("tf32", "bf16")[_ORDER[allowed] :]:
        if any(_explains(emulate(), got, exact, error) for emulate in _emulations(expected, index, name)):
            return name
    return ""


def _explains(low: torch.Tensor | None, got: torch.Tensor, exact: torch.Tensor, error: float) -> bool:
    if low is None:
        return False
    emulated = rms_difference(low, exact)
    return emulated / _WINDOW <= error <= emulated * _WINDOW and _cosine(got, low, exact) >= _ALIGNED


def _lowers(expected: Expected, index: int) -> bool:
    """Whether there is a lower precision for the output to be right in."""
    return expected.widened and expected.eager[index].dtype == torch.float32


def _emulations(expected: Expected, index: int, name: str) -> Iterator[Callable[[], torch.Tensor | None]]:
    """The output as kernels of that precision make it: the result stored so; operands of products rounded or cut off,
    as tensor cores take them; inputs and weights stored so; every intermediate stored so. Each is computed when it is
    called, so that a large task's device holds one at a time; None where torch cannot or has no memory for it.
    """
    model, bits = build_model(expected.task, expected.case, expected.device), MANTISSA[name]

    def wide(*, stored: bool = False, **rounded: Any) -> torch.Tensor | None:
        inputs = expected.inputs()
        given = (rounded_model(model, bits), rounded_inputs(inputs, bits)) if stored else (model, inputs)
        leaves = run_wide(*given, own=True, **rounded)
        return None if leaves is None else leaves[index]

    runs: tuple[Callable[[], torch.Tensor | None], ...] = (
        partial(round_mantissa, expected.exact[index], bits),
        partial(wide, rounding=name),
        partial(wide, rounding=name, cut=True),
        partial(wide, stored=True),
        partial(wide, rounding=name, everywhere=True),
    )
    return (partial(if_room, run) for run in runs)


def _cosine(got: torch.Tensor, low: torch.Tensor, exact: torch.Tensor) -> float:
    """Of the angle between the two errors, over the values finite in both."""
    dot = ours = theirs = 0.0
    for value, emulated, right in pieces(got, low, exact):
        a, b = value - right, emulated - right
        kept = torch.isfinite(a) & torch.isfinite(b)
        a, b = a[kept], b[kept]
        dot, ours, theirs = dot + float((a * b).sum()), ours + float(a.square().sum()), theirs + float(b.square().sum())
    return dot / (ours * theirs) ** 0.5 if ours and theirs else 0.0
