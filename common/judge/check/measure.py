"""Norms of large tensors, in fp64 and in pieces, so that a comparison needs little memory beside the operands."""
from __future__ import annotations

import math
from collections.abc import Iterator

import torch

PIECE = 1 << 24
"""Elements."""
_SQUARES = 1e-200, 1e300
"""A sum of squares outside of these may have lost what was too small for it, or overflowed."""


def pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Corresponding flat pieces of tensors of one shape, the floating ones in fp64."""
    flats = [(torch.view_as_real(t) if t.is_complex() else t).reshape(-1) for t in tensors]
    for start in range(0, max(flats[0].numel(), 1), PIECE):
        cut = [flat[start : start + PIECE] for flat in flats]
        yield tuple(piece.double() if piece.is_floating_point() else piece for piece in cut)


def rms(values: torch.Tensor) -> float:
    """Root mean square of the finite values; 0 where there is none."""
    return rms_difference(values, None)


def rms_difference(values: torch.Tensor, other: torch.Tensor | None) -> float:
    """Root mean square of the difference over elements finite in both."""
    total, count = 0.0, 0
    for piece, *rest in pieces(values, *([] if other is None else [other])):
        difference = piece - rest[0] if rest else piece
        finite = torch.isfinite(difference)
        norm, kept = _norm(torch.where(finite, difference, 0.0), finite)
        total, count = math.hypot(total, norm), count + kept
    return total / math.sqrt(count) if count else 0.0


def _norm(values: torch.Tensor, counted: torch.Tensor) -> tuple[float, int]:
    """Root of the sum of squares, and how many are `counted`; most often the device is waited for once."""
    if not values.numel():
        return 0.0, 0
    sums = torch.stack([values.square().sum(), values.abs().max(), counted.sum().double()])
    squares, largest, count = sums.tolist()
    if largest and not _SQUARES[0] < squares < _SQUARES[1]:  # scaled by the largest, squares are of ordinary size
        return largest * math.sqrt(float((values / largest).square().sum())), int(count)
    return math.sqrt(squares), int(count)


def rms_beyond(values: torch.Tensor, other: torch.Tensor, spread: torch.Tensor) -> float:
    """Root mean square of the difference, where a difference within twice `spread` counts as none."""
    total, count = 0.0, 0
    for piece, rest, granted in pieces(values, other, spread):
        difference = (piece - rest).abs()
        beyond = torch.where(difference <= 2 * granted, 0.0, difference)
        kept = beyond[torch.isfinite(beyond)]
        total, count = total + float(kept.square().sum()), count + kept.numel()
    return math.sqrt(total / count) if count else 0.0


def farther(values: torch.Tensor, other: torch.Tensor, limit: float) -> torch.Tensor:
    """Where the two differ by more than `limit`, as booleans of their shape; of a complex value in either part."""
    parts = [(piece - rest).abs() > limit for piece, rest in pieces(values, other)]
    far = torch.cat(parts)
    return far.view(*values.shape, 2).any(-1) if values.is_complex() else far.view(values.shape)


def all_finite(*tensors: torch.Tensor) -> bool:
    """Whether every element of each is; the device is waited for once."""
    found = [torch.isfinite(piece).all() for tensor in tensors for (piece,) in pieces(tensor)]
    return bool(torch.stack(found).all())


def finite_share(values: torch.Tensor) -> float:
    """Share of the elements that are finite; 1 for an empty tensor."""
    if not is_inexact(values) or values.numel() == 0:
        return 1.0
    parts = 2 if values.is_complex() else 1
    return sum(int(torch.isfinite(piece).sum()) for (piece,) in pieces(values)) / (values.numel() * parts)


def is_inexact(values: torch.Tensor) -> bool:
    """Whether the dtype rounds: floating or complex."""
    return values.is_floating_point() or values.is_complex()
