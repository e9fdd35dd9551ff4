"""Norms of large tensors, in fp64 and in pieces, so that a comparison needs little memory beside the operands."""
from __future__ import annotations

import math
from collections.abc import Iterator

import torch

_PIECE = 1 << 24


def pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Corresponding flat pieces of tensors of one shape, the floating ones in fp64."""
    flats = [(torch.view_as_real(t) if t.is_complex() else t).reshape(-1) for t in tensors]
    for start in range(0, max(flats[0].numel(), 1), _PIECE):
        cut = [flat[start : start + _PIECE] for flat in flats]
        yield tuple(piece.double() if piece.is_floating_point() else piece for piece in cut)


def rms(values: torch.Tensor) -> float:
    """Root mean square of the finite values; 0 where there is none."""
    return rms_difference(values, None)


def rms_difference(values: torch.Tensor, other: torch.Tensor | None) -> float:
    """Root mean square of the difference over elements finite in both."""
    total, count = 0.0, 0
    for piece, *rest in pieces(values, *([] if other is None else [other])):
        difference = piece - rest[0] if rest else piece
        kept = difference[torch.isfinite(difference)]
        # Scaled by the largest, so that squares of large values do not overflow.
        largest = float(kept.abs().max()) if kept.numel() else 0.0
        if largest:
            total = math.hypot(total, largest * math.sqrt(float((kept / largest).square().sum())))
        count += kept.numel()
    return total / math.sqrt(count) if count else 0.0


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


def finite_share(values: torch.Tensor) -> float:
    """Share of the elements that are finite; 1 for an empty tensor."""
    if not is_inexact(values) or values.numel() == 0:
        return 1.0
    parts = 2 if values.is_complex() else 1
    return sum(int(torch.isfinite(piece).sum()) for (piece,) in pieces(values)) / (values.numel() * parts)


def is_inexact(values: torch.Tensor) -> bool:
    """Whether the dtype rounds: floating or complex."""
    return values.is_floating_point() or values.is_complex()
