"""The desk's rules, without sockets: what is promised to whom, and when it ends."""
from __future__ import annotations

import itertools

import pytest

from kvstore.desk import Desk
from kvstore.handles import pack, present
from kvstore.pool import Pool
from kvstore.wire import Handles, Pin, Read, Reserve, Wrote
from tests.kvstore.fake_peer import KEYS, FakeMemory, Peer
from tests.kvstore.service import GEOMETRY

TWO_PARTS = type(GEOMETRY)(layout="test", dtype="float32", tokens=16, payload=1024, parts=2)


@pytest.fixture
def desk() -> Desk:
    tags = itertools.count(1)
    pool = Pool(8 * GEOMETRY.page_bytes, first=1, tag=lambda: next(tags))
    made = Desk("cpu", pool, FakeMemory(pool.chunk_bytes))
    made.grow()
    return made


def test_an_engine_is_promised_nothing_until_all_its_workers_are_there(desk: Desk) -> None:
    manager = Peer(desk, 1, "manager", geometry=TWO_PARTS)
    Peer(desk, 2, "worker", geometry=TWO_PARTS, part=0)
    refused = manager.tell(Reserve(keys=KEYS))
    assert isinstance(refused, Handles)
    assert (present(refused.handles), refused.short, refused.state.room) == ([], True, 0)
    second = Peer(desk, 3, "worker", geometry=TWO_PARTS, part=1)
    assert len(manager.handles(Reserve(keys=KEYS))) == 4
    second.leave()
    assert manager.handles(Reserve(keys=KEYS)) == []


def test_what_an_engine_without_workers_was_to_store_another_may(desk: Desk) -> None:
    """Its worker cannot say that it did not write."""
    manager, worker = Peer(desk, 1, "manager", "a"), Peer(desk, 2, "worker", "a")
    other, writer = Peer(desk, 3, "manager", "b"), Peer(desk, 4, "worker", "b")
    lost = manager.handles(Reserve(keys=KEYS))
    assert other.handles(Reserve(keys=KEYS)) == []
    worker.leave()
    assert manager.handles(Reserve(keys=KEYS)) == []
    given = other.handles(Reserve(keys=KEYS))
    assert len(given) == 4
    again = Peer(desk, 5, "worker", "a")
    again.tell(Wrote(handles=pack(lost), ok=False))
    writer.tell(Wrote(handles=pack(given)))
    assert other.found() == 4, "what came late changed nothing"


def test_pins_end_with_a_worker_and_are_not_made_without(desk: Desk) -> None:
    manager, worker = Peer(desk, 1, "manager"), Peer(desk, 2, "worker")
    worker.tell(Wrote(handles=pack(manager.handles(Reserve(keys=KEYS)))))
    assert manager.found() == 4
    pinned = manager.handles(Pin(keys=KEYS))
    worker.leave()
    assert manager.found() == 0
    assert manager.handles(Pin(keys=KEYS)) == []
    again = Peer(desk, 3, "worker")
    again.tell(Read(handles=pack(pinned)))
    assert manager.found() == 4
    more = [bytes([n]) * 36 for n in range(10, 18)]
    assert len(manager.handles(Reserve(keys=more))) == 8, "nothing is pinned"
