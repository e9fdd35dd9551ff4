"""How much memory the pool may have: candidates come first. Pure; sizes in bytes, times in seconds."""
from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    chunk: int
    most: int
    """The pool never takes more."""
    headroom: int
    """Growing leaves this much free: what candidates ordinarily need."""
    floor: int
    """With less than this free, chunks are given up unasked."""
    idle: float
    """The pool grows again this long after the last reservation ended."""


def surplus(limits: Limits, *, free: int, own: int, leaving: int, reserved: bool, idle: float) -> int:
    """Chunks to add (positive) or to give up (negative) now.

    `free` is what the device has left, `own` what the pool holds and may keep, `leaving` what is on its way back.
    While a job has a reservation the device is its own: nothing grows, and what it uses up is no reason to shrink.
    """
    if own > limits.most:
        return -_chunks(own - limits.most, limits)
    if reserved:
        return 0
    if free + leaving < limits.floor:
        return -min(_chunks(limits.floor - free - leaving, limits), own // limits.chunk)
    if idle < limits.idle or leaving:
        return 0
    return max(0, min(free - limits.headroom, limits.most - own) // limits.chunk)


def shortfall(limits: Limits, *, need: int, free: int, leaving: int, own: int, everything: bool = False) -> int:
    """Chunks to give up so that `need` bytes become free, as far as the pool has them; or all of them."""
    if everything:
        return own // limits.chunk
    return min(_chunks(max(0, need - free - leaving), limits), own // limits.chunk)


def _chunks(size: int, limits: Limits) -> int:
    return -(-size // limits.chunk)
