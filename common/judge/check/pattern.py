"""Where values differ: a few elements to show, and how the wrong ones lie."""
from __future__ import annotations

import torch

from common.judge.check.measure import pieces
from common.messages.judgement import Difference

_SHOWN = 6
_LARGE = 1 << 28
"""Values above which only the region is looked at: the content takes several copies in fp64."""
_CLOSE = 1e-3
"""Relative agreement at which a wrong value is taken for a transposed, scaled or former one."""


def differences(got: torch.Tensor, exact: torch.Tensor, where: torch.Tensor) -> tuple[Difference, ...]:
    """The first differing elements and the worst, at most six; a complex tensor's parts count as a last dimension."""
    if got.is_complex():
        got, exact = torch.view_as_real(got), torch.view_as_real(exact)
        where = where if where.shape == got.shape else where.unsqueeze(-1).expand(got.shape)
    first: list[int] = []
    worst, at, start = -1.0, 0, 0
    for value, right, wrong in pieces(got, exact, where):
        first += [start + int(i) for i in _first_true(wrong, _SHOWN - len(first))]
        error = (value.double() - right.double()).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)
        error = error.masked_fill(~wrong, -1.0)
        if error.numel() and float(error.max()) > worst:
            worst, at = float(error.max()), start + int(error.argmax())
        start += value.numel()
    shown = sorted({*first[: _SHOWN - 1], at}) if len(first) == _SHOWN else first
    indices = [_unravel(flat, got.shape) for flat in shown]
    return tuple(Difference(index=i, expected=float(exact[i]), got=float(got[i])) for i in indices)


def _first_true(flags: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Indices of the first `count` true values, without listing all of them."""
    if count <= 0 or not bool(flags.any()):
        return []
    order = torch.cumsum(flags, 0, dtype=torch.int32)
    return list(((order <= count) & flags).nonzero().flatten())


def _unravel(flat: int, shape: torch.Size) -> tuple[int, ...]:
    index: list[int] = []
    for size in reversed(shape):
        flat, within = divmod(flat, size)
        index.append(within)
    return tuple(reversed(index))


def pattern_of(got: torch.Tensor, exact: torch.Tensor, far: torch.Tensor) -> str:
    """How the wrong values (`far`) lie or what they are; an empty string where nothing stands out."""
    if got.is_complex() or not bool(far.any()):
        return ""
    content = _content(got.double(), exact.double(), far) if got.numel() <= _LARGE else ""
    return content or _region(far)


def is_stale(got: torch.Tensor, before: torch.Tensor, now: torch.Tensor) -> bool:
    """Whether what changed from `before` to `now` still has its former value in `got`."""
    if got.is_complex():
        return False
    changed = ~_near(now.double(), before.double())
    return bool(changed.any()) and bool(_near(got.double(), before.double())[changed].all())


def _content(got: torch.Tensor, exact: torch.Tensor, far: torch.Tensor) -> str:
    wrong, right = got[far], exact[far]
    if bool(_near(wrong, right).all()):
        return ""
    if bool((wrong == 0).all()):
        return "zeros" if wrong.numel() == got.numel() else f"zeros, {_region(far)}".rstrip(", ")
    if wrong.numel() > 1 and bool((wrong == wrong[0]).all()):
        return f"constant, {_region(far)}".rstrip(", ")
    if bool(_near(wrong, -right).all()):
        return "sign"
    if factor := _factor(wrong, right):
        return f"scaled by {factor:.4g}"
    if _transposed(got, exact):
        return "transposed"
    return ""


def _factor(wrong: torch.Tensor, right: torch.Tensor) -> float | None:
    """The factor by which all wrong values are off, where it is one."""
    if wrong.numel() < 4 or not bool(right.any()):
        return None
    factor = float((wrong * right).sum() / right.square().sum())
    return factor if bool(_near(wrong, factor * right).all()) and abs(factor) > _CLOSE else None


def _transposed(got: torch.Tensor, exact: torch.Tensor) -> bool:
    """Whether `got` holds the right values in the order of the last two dimensions swapped."""
    if got.dim() < 2 or min(got.shape[-2:]) < 2:
        return False
    return bool(_near(got, exact.mT.reshape(exact.shape)).all())


def _near(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.isclose(a, b, rtol=_CLOSE, atol=_CLOSE * float(b.abs().mean()) if b.numel() else 0.0, equal_nan=True)


def _region(far: torch.Tensor) -> str:
    """Which part is wrong: a tail, some rows or columns, one block; an empty string for everywhere or scattered."""
    total, wrong = far.numel(), int(far.sum())
    if wrong > 0.9 * total:
        return "everywhere"
    flat = far.reshape(-1)
    first = int(flat.to(torch.uint8).argmax())
    if wrong > 1 and wrong > 0.9 * (total - first):
        return f"tail: from flat index {first} of {total} on"
    return _box(far, wrong) if far.dim() else ""


def _box(far: torch.Tensor, wrong: int) -> str:
    """The smallest box around the wrong values, where they fill most of it and it is not the whole."""
    ranges = []
    for dim in range(far.dim()):
        others = [d for d in range(far.dim()) if d != dim]
        along = far.any(dim=others) if others else far
        hits = along.nonzero().flatten()
        ranges.append((int(hits[0]), int(hits[-1]) + 1))
    size = 1
    for start, stop in ranges:
        size *= stop - start
    if wrong < 0.75 * size or size == far.numel():
        return ""
    tails = [d for d, (start, stop) in enumerate(ranges) if (start, stop) != (0, far.shape[d])]
    last = all(ranges[d][1] == far.shape[d] for d in tails)
    word = "tail" if last else "block"
    return f"{word}: " + ", ".join(f"dim {d} {ranges[d][0]}..{ranges[d][1] - 1} of {far.shape[d]}" for d in tails)
