"""Recognise a result that is right, only at a lower precision than the task allows."""
from __future__ import annotations

from typing import NamedTuple

import torch

from common.judge.check.inputs import build_model, make_inputs
from common.judge.check.measure import rms_difference
from common.judge.check.reference import Expected, run_wide

_ORDER = {"fp32": 0, "tf32": 1, "bf16": 2}
_EMULATIONS = (("tf32", False), ("tf32", True), ("bf16", False), ("bf16", True))
"""Bits of mantissa kept and whether every operation rounds or only the operands of products. fp16 keeps as many bits
as tf32 and is called so."""
_FACTOR = 4.0
"""An error within this factor of an emulated precision's, either way, is that precision's."""
_EVEN = 0.1
"""Least mean over RMS of the error: rounding errs everywhere (0.8 if normally distributed), a wrong corner does not."""


class Lower(NamedTuple):
    """A precision below fp32 at which a result is right."""

    name: str

    def allowed(self, precision: str) -> bool:
        """Whether a task of that precision accepts it."""
        return _ORDER[self.name] <= _ORDER[precision]


def lower_precision(expected: Expected, index: int, got: torch.Tensor, error: float) -> Lower | None:
    """The highest of tf32 (or fp16) and bf16 whose emulated error is about the candidate's; None where none is.

    Emulated in fp64, see `Widen`. Only fp32 results have a lower precision to be right in.
    """
    if got.dtype != torch.float32 or not expected.widened or not _everywhere(got, expected.exact[index], error):
        return None
    inputs = make_inputs(expected.task, expected.case, expected.device)
    model = build_model(expected.task, expected.case, expected.device)
    for name, everywhere in _EMULATIONS:
        leaves = run_wide(model, inputs, name, everywhere=everywhere)
        emulated = 0.0 if leaves is None else rms_difference(leaves[index], expected.exact[index])
        if emulated and emulated / _FACTOR <= error <= emulated * _FACTOR:
            return Lower(name)
    return None


def _everywhere(got: torch.Tensor, exact: torch.Tensor, error: float) -> bool:
    difference = (got.double() - exact).abs()
    finite = difference[torch.isfinite(difference)]
    return finite.numel() > 0 and float(finite.mean()) >= _EVEN * error
