"""Values to draw for a case, keeping what the task's own draw shows to be structure.

A mask of zeros, a symmetric matrix, rows that sum to one and whole numbers are kept: a kernel may rely on what every
input of the task has. A sign or a scale is not kept.
"""
from __future__ import annotations

from collections.abc import Callable

import torch

from common.judge.check.cases import Kind

_SAMPLE = 4096
"""Values looked at before all are: most large inputs are told apart by them."""
Draw = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def redraw(own: torch.Tensor, kind: Kind, generator: torch.Generator) -> torch.Tensor:
    """`own` in another distribution, same shape and dtype; unchanged where it holds labels or whole numbers."""
    if kind == "own" or not own.is_floating_point() or own.numel() == 0 or _whole(own):
        return own
    values = _DRAWS[kind](own, generator).to(own.dtype)
    if _rows_sum_to_one(own):
        return torch.softmax(values.float(), -1).to(own.dtype)
    if _symmetric(own):
        values = (values + values.mT) / 2
    zeros = own == 0
    return values.masked_fill(zeros, 0) if bool(zeros.sum() * 20 > zeros.numel()) else values


def edit(own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A copy of `own` with a few elements moved about, so that range and structure stay; at most eight change."""
    if own.numel() < 2:
        return own * 0.5 if own.is_floating_point() and not _whole(own) else own.clone()
    if _symmetric(own):
        return _swapped(own.diagonal(dim1=-2, dim2=-1), own)
    if _rows_sum_to_one(own):
        return own.roll(1, 0) if own.shape[0] > 1 else own.flip(-1)
    return _scattered(own, generator)


def _swapped(diagonal: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    return own.clone().diagonal_scatter(diagonal.flip(-1), dim1=-2, dim2=-1)


def _scattered(own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Up to eight elements take the value found half the tensor away; zeros stay, they may be a mask."""
    flat = own.reshape(-1).clone()
    where = torch.randint(flat.numel(), (min(8, flat.numel()),), generator=generator, device=own.device)
    there = flat[(where + flat.numel() // 2) % flat.numel()]
    flat[where] = torch.where(flat[where] == 0, flat[where], there)
    return flat.view(own.shape)


def has_square_structure(own: torch.Tensor) -> bool:
    """Whether rows cannot be changed alone: symmetric, or square with a mask of zeros."""
    if own.is_meta:
        return False
    square = own.dim() >= 2 and own.shape[-1] == own.shape[-2]
    return _symmetric(own) or (square and bool((own == 0).sum() * 20 > own.numel()))


def _normal(own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(own.shape, generator=generator, device=own.device, dtype=torch.float32)


def _negative(own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return -(_normal(own, generator).abs() + 2.0**-6)


def _sparse(own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One value in ten kept, one row in four all zero."""
    keep = torch.rand(own.shape, generator=generator, device=own.device) < 0.1
    if own.dim() > 1:
        rows = torch.rand(own.shape[:-1], generator=generator, device=own.device) < 0.75
        keep &= rows.unsqueeze(-1)
    return _normal(own, generator) * keep


def _integers(own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(-4, 5, own.shape, generator=generator, device=own.device).float()


_DRAWS: dict[str, Draw] = {
    "normal": _normal,
    "scaled": lambda own, generator: own.float() * _scale(own, 1e3),
    "large": lambda own, generator: _normal(own, generator) * _scale(own, 1e3),
    "small": lambda own, generator: own.float() * _scale(own, 1e-3),
    "negative": _negative,
    "sparse": _sparse,
    "integers": _integers,
}


def _scale(own: torch.Tensor, factor: float) -> float:
    """fp16 reaches 65,504 only: there a scale of 16 stands in for 1,000, and 1/16 for 1/1,000."""
    return factor if own.dtype != torch.float16 else (16.0 if factor > 1 else 1 / 16)


def _whole(own: torch.Tensor) -> bool:
    if not own.is_floating_point():
        return True
    return _all_whole(own.reshape(-1)[:_SAMPLE]) and _all_whole(own)


def _all_whole(values: torch.Tensor) -> bool:
    return bool((values == values.round()).all())


def _rows_sum_to_one(own: torch.Tensor) -> bool:
    if own.dim() < 2 or own.shape[-1] < 2 or own.numel() == 0:
        return False
    rows = own.reshape(-1, own.shape[-1])
    return _sum_to_one(rows[:16]) and _sum_to_one(rows)


def _sum_to_one(rows: torch.Tensor) -> bool:
    return bool((rows >= 0).all()) and bool(((rows.float().sum(-1) - 1).abs() < 1e-2).all())


def _symmetric(own: torch.Tensor) -> bool:
    return own.dim() >= 2 and own.shape[-1] == own.shape[-2] > 1 and bool((own == own.mT).all())
