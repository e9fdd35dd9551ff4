"""What counts as right: the precision a task allows and how far from fp64 a candidate may be."""
from __future__ import annotations

from typing import Literal

import msgspec
import torch

from common.errors import UsageError
from common.judge.check.cases import Kind

Precision = Literal["fp32", "tf32", "bf16"]
EXTREME: tuple[Kind, ...] = ("scaled", "large")
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")


class CheckPolicy(msgspec.Struct, frozen=True, kw_only=True):
    precision: Precision = "fp32"
    """The lowest precision a candidate may compute in."""
    ratio: float = 16.0
    """Candidate's RMS error over eager's own, both against fp64, above which a result is wrong.

    Calibrated by `python -m bench.error_ratio` (docs/error_ratio.md): honest kernels that add up less than a hundred
    values reach 7.2, the mildest wrong one in fp32 855.
    """
    ratio_half: float = 6.0
    """The same for outputs in fp16 and bf16: both sides round their result, so honest kernels stay near 1."""
    sequential: float = 2.0
    """Where a task adds up K values, a result within sequential * sqrt(K) of eager's error is right as well, unless a
    lower precision explains it: an honest sum of one value after another reaches 0.88 sqrt(K)."""
    allowed: float = 2.0
    """Error ratio that is right without further question where a task allows a lower precision."""
    extreme: float = 32.0
    """Factor on the limit where inputs are scaled up by 1,000: an intermediate as large as they are is rounded in its
    own last place (x - logsumexp(x) loses ten bits then). The other cases ask for the tight limit."""
    floor: float = 0.25
    """Least error granted, in units of the output dtype's epsilon times the output's RMS: eager may be exact."""
    least_finite: float = 0.5
    """A case in which less than this share of eager's values is finite says too little and is left out."""

    def ratio_for(self, dtype: torch.dtype) -> float:
        """The error ratio that is right without further question."""
        return self.ratio_half if dtype in (torch.float16, torch.bfloat16) else self.ratio

    def unsuspected_for(self, dtype: torch.dtype) -> float:
        """The error ratio up to which no lower precision is looked for. Where a task allows one, eager itself may have
        used it, and 16 times that would hide the next lower one."""
        return self.ratio_for(dtype) if self.precision == "fp32" else min(self.allowed, self.ratio_for(dtype))

    def limit_for(self, dtype: torch.dtype, longest_sum: int, kind: Kind = "own") -> float:
        """The error ratio above which a result is wrong. Sums for a half-precision result are kept in fp32, whose
        rounding does not show there."""
        limit = self.ratio_for(dtype)
        if dtype not in (torch.float16, torch.bfloat16):
            limit = max(limit, self.sequential * longest_sum**0.5)
        return limit * self.extreme if kind in EXTREME else limit


def policy_for(precision: str) -> CheckPolicy:
    """UsageError for a precision that is none of `fp32`, `tf32`, `bf16`."""
    for known in PRECISIONS:
        if precision == known:
            return CheckPolicy(precision=known)
    raise UsageError(f"unknown precision {precision!r}: use one of {', '.join(PRECISIONS)}")


def set_backend_precision(precision: str) -> None:
    """Let torch's own kernels use no lower precision than the task allows; for judge and candidate alike.

    cuDNN's convolutions use tf32 unless told otherwise, so eager itself would break a strict policy.
    """
    lower = precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = lower
    torch.backends.cudnn.allow_tf32 = lower
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
