"""How much one copy on a GPU moves: as much as takes so long."""
from __future__ import annotations

import pytest

from kvstore.engine.slices import LEAST_BYTES, SLICE_SECONDS, next_slice

GB = 10**9


@pytest.mark.parametrize(("speed", "expected"), [(1_400 * GB, 7 * GB), (55 * GB, 275_000_000), (1 * GB, LEAST_BYTES)])
def test_the_next_copy_takes_as_long_as_it_may(speed: int, expected: int) -> None:
    copied = 2 * GB
    assert next_slice(GB, copied, copied / speed) == pytest.approx(expected)
    assert next_slice(GB, copied, copied / speed) / speed <= max(SLICE_SECONDS, LEAST_BYTES / speed) * 1.001


def test_a_small_copy_tells_nothing() -> None:
    assert next_slice(GB, LEAST_BYTES - 1, 1.0) == GB
    assert next_slice(GB, 2 * GB, 0.0) == GB
