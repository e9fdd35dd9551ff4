"""NaN and infinities: a candidate may have them only where the task's own result has, and must where it must."""
from __future__ import annotations

from dataclasses import dataclass

import torch

from common.judge.check.measure import all_finite

_NEAR_OVERFLOW = 0.98
"""Values this near the largest of the dtype may round to infinity by another order of the same operations."""


@dataclass(frozen=True)
class Misplaced:
    what: str
    pattern: str
    where: torch.Tensor


def misplaced(got: torch.Tensor, eager: torch.Tensor, exact: torch.Tensor) -> Misplaced | None:
    """Places where one side is not finite and the other is, or both are and differ; None where there is none.

    Where eager overflows and fp64 does not, a candidate may hold either: it may be the better of the two, and where
    eager has come to NaN that way it may hold any of them.
    """
    if got.is_complex():
        got, eager, exact = (torch.view_as_real(t) for t in (got, eager, exact))
    if all_finite(got, eager):
        return None
    odd = ~torch.isfinite(got)
    eager_odd, exact_odd = ~torch.isfinite(eager), ~torch.isfinite(exact)
    near = exact.abs() >= _NEAR_OVERFLOW * torch.finfo(eager.dtype).max
    surplus = odd & ~eager_odd & ~near
    if bool(surplus.any()):
        return _surplus(got, surplus)
    missing = ~odd & eager_odd & exact_odd
    if bool(missing.any()):
        what = f"{int(missing.sum())} values are finite where the task's are NaN or infinite"
        return Misplaced(what, "finite", missing)
    lost = torch.isnan(eager) & ~exact_odd
    differ = odd & eager_odd & ~lost & ~_same(got, exact) & ~_same(got, eager)
    if bool(differ.any()):
        return Misplaced(f"{int(differ.sum())} values are another NaN or infinity than the task's", "kind", differ)
    return None


def _surplus(got: torch.Tensor, where: torch.Tensor) -> Misplaced:
    nans = int((torch.isnan(got) & where).sum())
    total = int(where.sum())
    word = "NaN" if nans == total else "infinite" if nans == 0 else "NaN or infinite"
    return Misplaced(f"{total} of {got.numel()} values are {word} where the task's are finite",
                     "nan" if nans else "inf", where)


def _same(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == b.to(a.dtype)) | (torch.isnan(a) & torch.isnan(b))
