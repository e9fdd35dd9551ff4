"""Where values differ: a few elements to show, and the shape of the fault where it has one."""
from __future__ import annotations

import torch

from common.judge.check.reference import Expected
from common.messages.judgement import Difference

_SHOWN = 6


def differences(got: torch.Tensor, exact: torch.Tensor, where: torch.Tensor) -> tuple[Difference, ...]:
    """The first differing elements and the worst, at most six."""
    if got.is_complex():
        got, exact = torch.view_as_real(got), torch.view_as_real(exact)
        where = where if where.shape == got.shape else where.unsqueeze(-1).expand(got.shape)
    indices = where.nonzero()
    picked = [tuple(int(i) for i in row) for row in indices[: _SHOWN - 1]]
    if len(indices) >= _SHOWN:
        error = torch.nan_to_num((got.double() - exact.double()).abs(), nan=torch.inf) * where
        worst = tuple(int(i) for i in torch.unravel_index(error.argmax(), error.shape))
        picked += [worst] if worst not in picked else []
    return tuple(Difference(index=i, expected=float(exact[i]), got=float(got[i])) for i in picked)


def pattern_of(got: torch.Tensor, exact: torch.Tensor, far: torch.Tensor, expected: Expected, index: int) -> str:
    """One word for how the wrong values lie, or an empty string."""
    return ""
