"""Where blocks are, as tables."""
from __future__ import annotations

import numpy as np
import pytest

from kvstore.engine.copier import COLUMNS, Places, fill
from kvstore.engine.copying import piece_of
from kvstore.engine.slots import Slots, joined, part, table
from kvstore.geometry import Geometry, Handle
from kvstore.handles import pack, present, unpack
from kvstore.memory.shm import SharedMapping

A, B, C = Handle(2**61, 3, 2**63 - 1), Handle(2**61 + 1, 0, 5), Handle(2**61, 4, 6)


def test_handles_come_out_as_they_went_in() -> None:
    assert unpack(pack([A, None, B])) == [A, None, B]
    assert present(pack([A, None, B])) == [A, B]
    assert table(pack([A, None])).tolist() == [list(A), [0, 0, 0]]
    with pytest.raises(ValueError, match="25 bytes"):
        unpack(bytes(25))


def test_a_block_that_is_in_no_pool_has_no_slot() -> None:
    slots = Slots(4, (part("p", [0, 2], pack([A, None])), part("q", [3], pack([B]))))
    assert list(slots) == [("p", A), None, None, ("q", B)]


def test_jobs_that_wait_together_become_one_part_a_pool() -> None:
    one, two = Slots(2, (part("p", [1], pack([A])),)), Slots(2, (part("p", [0], pack([C])), part("q", [1], pack([B]))))
    both = joined([one, two])
    assert list(both) == [None, ("p", A), ("p", C), ("q", B)]
    assert [part.pool for part in both.parts] == ["p", "q"]


def test_the_kernels_are_told_where_each_page_begins() -> None:
    geometry = Geometry(layout="l", dtype="d", tokens=16, payload=64, parts=2)
    found = piece_of("p", np.array([7, 8, 9]), table(pack([A, B, C])))
    chunks = {2**61: SharedMapping(None, 1_000_000, 4_096), 2**61 + 1: SharedMapping(None, 2_000_000, 4_096)}  # type: ignore[arg-type]
    places: Places = found.places(chunks)
    told = np.empty((COLUMNS, 3), dtype=np.int64)
    fill(told, found.blocks, places, geometry, 1)
    begins = [1_000_000 + geometry.offset(3, 1), 2_000_000 + geometry.offset(0, 1), 1_000_000 + geometry.offset(4, 1)]
    assert told.tolist() == [[7, 8, 9], begins, [A.tag, B.tag, C.tag], [0, 0, 0]]
