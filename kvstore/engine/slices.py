"""How much one copy on a GPU moves. Pure."""
from __future__ import annotations

SLICE_SECONDS = 0.005
"""Of one copy. Two each of loads and stores are under way at a time, and a revocation waits for them."""
FIRST_BYTES, LEAST_BYTES = 512 * 2**20, 64 * 2**20
"""Of the first copy, before any was timed: 0.4 ms within a large device, 10 ms over PCIe; and of any."""


def next_slice(now: int, copied: int, seconds: float) -> int:
    """Bytes of the next copy, where it was `now`, after one of `copied` bytes: as much as takes SLICE_SECONDS. Of a
    small copy most of the time is not the bytes'; it tells nothing."""
    if copied < LEAST_BYTES or seconds <= 0:
        return now
    return max(LEAST_BYTES, int(copied * SLICE_SECONDS / seconds))
