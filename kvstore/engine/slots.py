"""Where blocks are in the tier, as columns: a prefix has thousands of blocks, and an object for each would cost more
than its copy."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvstore.geometry import Handle

Ints = npt.NDArray[np.int64]
CHUNK, PAGE, TAG = range(3)
"""Columns of a table of handles."""
Slot = tuple[str, Handle] | None
"""Where one block is: the pool's name and the page; None where it is not there any more."""


def table(packed: bytes) -> Ints:
    """(handles, 3) of what a pool answered, see `kvstore.handles`. ValueError where it is no number of handles."""
    return np.frombuffer(packed, "<i8").reshape(-1, 3)


@dataclass(frozen=True, slots=True)
class Part:
    """What one pool has of some blocks."""

    pool: str
    rows: Ints
    """Which of the blocks, by their position."""
    handles: Ints
    """(rows, 3): a page each."""


@dataclass(frozen=True, slots=True)
class Slots:
    """One for each of `count` blocks, in the order of the engine's blocks; in no part where a block is gone."""

    count: int
    parts: tuple[Part, ...] = ()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Slot:
        if not 0 <= row < self.count:
            raise IndexError(row)
        found = ((part, at) for part in self.parts for at in np.flatnonzero(part.rows == row))
        return next(((part.pool, Handle(*part.handles[at].tolist())) for part, at in found), None)


def part(pool: str, rows: Sequence[int] | Ints, packed: bytes) -> Part:
    """Of the blocks that were asked for, those that the pool has a page for."""
    handles = table(packed)
    there = handles[:, TAG] != 0
    return Part(pool, np.asarray(rows, dtype=np.int64)[there], handles[there])


def joined(many: Sequence[Slots]) -> Slots:
    """One after the other, in one part a pool."""
    by_pool: dict[str, list[tuple[Ints, Ints]]] = {}
    count = 0
    for slots in many:
        for part in slots.parts:
            by_pool.setdefault(part.pool, []).append((part.rows + count, part.handles))
        count += slots.count
    return Slots(count, tuple(
        Part(pool, np.concatenate([rows for rows, _ in pairs]), np.concatenate([handles for _, handles in pairs]))
        for pool, pairs in by_pool.items()
    ))
