"""Norms of large tensors, in fp64 and in pieces, so that a comparison needs little memory beside the operands."""
from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch

PIECE = 1 << 24
"""Elements."""
_ORDINARY = 1e-100, 1e150
"""A norm outside of these may have lost squares that were too small for it, or overflowed."""


def pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Corresponding flat pieces of tensors of one shape, the floating ones in fp64."""
    for piece in cut(*tensors):
        yield tuple(part.double() if part.is_floating_point() else part for part in piece)


def cut(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same in their own dtypes, but of float8, which torch computes nothing with; views on those tensors that are
    contiguous."""
    flats = [(torch.view_as_real(t) if t.is_complex() else t).reshape(-1) for t in tensors]
    for start in range(0, max(flats[0].numel(), 1), PIECE):
        yield tuple(map(_computable, (flat[start : start + PIECE] for flat in flats)))


def _computable(part: torch.Tensor) -> torch.Tensor:
    return part.double() if part.is_floating_point() and part.itemsize == 1 else part


def rms(values: torch.Tensor) -> float:
    """Root mean square of the finite values; 0 where there is none."""
    return _rms(piece for (piece,) in cut(values))


def rms_difference(values: torch.Tensor, other: torch.Tensor) -> float:
    """Root mean square of the difference over elements finite in both."""
    return _rms(_difference(piece, rest) for piece, rest in cut(values, other))


def _difference(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one - (other if torch.float64 in (one.dtype, other.dtype) else other.double())


def _rms(parts: Iterable[torch.Tensor]) -> float:
    total, count = 0.0, 0
    for part in parts:
        norm, kept = _norm(part)
        total, count = math.hypot(total, norm), count + kept
    return total / math.sqrt(count) if count else 0.0


def _norm(values: torch.Tensor) -> tuple[float, int]:
    """Root of the sum of squares of the finite values, and how many they are. Most often all are finite and of ordinary
    size: then they are read once."""
    norm = _norm_of_all(values)
    if _ORDINARY[0] < norm < _ORDINARY[1]:
        return norm, values.numel()
    finite = values[torch.isfinite(values)].double()
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    return largest * _norm_of_all(finite / (largest or 1.0)), finite.numel()


def _norm_of_all(values: torch.Tensor) -> float:
    """Not finite where one value is not."""
    return float(torch.linalg.vector_norm(values, dtype=torch.float64))


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
    """Whether every element of each is."""
    return all(finite_share(tensor) == 1.0 for tensor in tensors)


def finite_share(values: torch.Tensor) -> float:
    """Share of the elements that are finite; 1 for an empty tensor."""
    if not is_inexact(values) or values.numel() == 0:
        return 1.0
    parts = 2 if values.is_complex() else 1
    return sum(map(_finite, (piece for (piece,) in cut(values)))) / (values.numel() * parts)


def _finite(values: torch.Tensor) -> int:
    return values.numel() if math.isfinite(_norm_of_all(values)) else int(torch.isfinite(values).sum())


def is_inexact(values: torch.Tensor) -> bool:
    """Whether the dtype rounds: floating or complex."""
    return values.is_floating_point() or values.is_complex()
