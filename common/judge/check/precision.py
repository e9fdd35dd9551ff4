"""Recognise a result that is right, only at a lower precision than the task allows."""
from __future__ import annotations

from typing import NamedTuple

import torch

from common.judge.check.inputs import build_model, make_inputs
from common.judge.check.measure import rms_difference
from common.judge.check.reference import Expected, run_wide

_ORDER = {"fp32": 0, "tf32": 1, "fp16": 2, "bf16": 3}


class Lower(NamedTuple):
    """A precision, and whether storage (not only the operands of products) is in it."""

    name: str

    def allowed(self, precision: str) -> bool:
        return _ORDER[self.name] <= _ORDER[precision]


_FACTOR = 4.0
"""An error within this factor of the emulated precision's, either way, is that precision's."""


def lower_precision(expected: Expected, index: int, got: torch.Tensor, error: float) -> Lower | None:
    """The highest of tf32, fp16 and bf16 whose emulated error is about the candidate's; None where none is.

    Emulated in fp64: tf32 rounds the operands of products to 10 bits of mantissa, fp16 and bf16 round every
    operation's operands and results to 10 and 7.
    """
    if got.dtype not in (torch.float32, torch.complex64):
        return None
    inputs = make_inputs(expected.task, expected.case, expected.device)
    model = build_model(expected.task, expected.case, expected.device)
    for name, everywhere in (("tf32", False), ("fp16", True), ("bf16", False), ("bf16", True)):
        leaves = run_wide(model, inputs, name, everywhere=everywhere)
        if leaves is None:
            continue
        emulated = rms_difference(leaves[index], expected.exact[index])
        if emulated and emulated / _FACTOR <= error <= emulated * _FACTOR:
            return Lower(name)
    return None
