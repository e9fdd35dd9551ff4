"""What the keeper does in a turn, over a device of numbers."""
from __future__ import annotations

import itertools

from common.messages import MemoryReserved, Message, PoolGrown, PoolShrunk, ReserveMemory
from kvstore.budget import Limits
from kvstore.desk import Desk
from kvstore.geometry import Space
from kvstore.keeper import Keeper
from kvstore.pool import Pool
from kvstore.reserve import Reservations
from kvstore.wire import Reserve, Unmapped
from tests.kvstore.fake_peer import KEYS, FakeMemory, Peer
from tests.kvstore.service import GEOMETRY

CHUNK = GEOMETRY.page_bytes
OTHER = Space(model="m", tenant="other")


def kept(chunks: int, memory: FakeMemory | None = None) -> tuple[Desk, Keeper]:
    """A pool of one page a chunk, of as many chunks as the device has."""
    tags = itertools.count(1)
    memory = memory or FakeMemory(chunks * CHUNK)
    desk = Desk("cpu", Pool(CHUNK, first=1, tag=lambda: next(tags)), memory)
    limits = Limits(chunk=CHUNK, most=chunks * CHUNK, headroom=0, floor=0, idle=1.0)
    return desk, Keeper(desk, memory, limits, Reservations(patience=1.0), memory.clock)


def grown(desk: Desk, keeper: Keeper, chunks: int) -> None:
    for now in range(chunks):
        keeper.turn(now)
    assert len(desk.pool.live()) == chunks


def test_growing_keeps_engines_waiting_for_no_longer_than_two_chunks_take() -> None:
    """Those that time their questions out would count the pool as gone."""
    memory = FakeMemory(9 * CHUNK, seconds=0.015)
    desk, keeper = kept(9, memory)
    sizes, told = [], []
    for now in range(6):
        told += keeper.turn(now)
        sizes.append(len(desk.pool.live()))
        assert keeper.urgent == (now < 5)
    assert sizes == [2, 4, 6, 8, 9, 9]
    assert [(message.chunks, message.bytes) for message in told if isinstance(message, PoolGrown)] == [(9, 9 * CHUNK)]


def test_a_chunk_that_takes_longer_than_a_turn_is_made_all_the_same() -> None:
    desk, keeper = kept(2, FakeMemory(2 * CHUNK, seconds=1.0))
    keeper.turn(0.0)
    assert len(desk.pool.live()) == 1


def two_tenants(desk: Desk) -> tuple[Peer, Peer, Peer]:
    """One has stored all there is room for, the other asked once; and the first one's worker."""
    one, worker = Peer(desk, 1, "manager", "a"), Peer(desk, 2, "worker", "a")
    other, _ = Peer(desk, 3, "manager", "b", space=OTHER), Peer(desk, 4, "worker", "b", space=OTHER)
    assert len(one.handles(Reserve(keys=KEYS))) == 4
    assert other.handles(Reserve(keys=KEYS)) == []
    return one, other, worker


def test_a_tenant_that_has_nothing_is_given_one_chunk_and_no_more() -> None:
    desk, keeper = kept(4)
    grown(desk, keeper, 4)
    _, other, worker = two_tenants(desk)
    for now in range(10, 20):
        keeper.turn(now)
        worker.tell(Unmapped(chunks=desk.pool.leaving()))
    assert (len(desk.pool.live()), len(desk.pool.unused())) == (4, 1)
    assert len(other.handles(Reserve(keys=KEYS))) == 1


def test_nothing_is_given_up_for_another_that_could_not_be_made_anew() -> None:
    """A job has the memory, or had it just now."""
    desk, keeper = kept(4)
    grown(desk, keeper, 4)
    _, _, worker = two_tenants(desk)
    job = ReserveMemory(device="cpu", id="j", worker="w", lease="l", job="j", bytes=1, quiet=False, until=100.0)
    keeper.reserve(job, 10.0)
    for now in (10.0, 10.1, 10.2, 10.3):
        keeper.turn(now)
        worker.tell(Unmapped(chunks=desk.pool.leaving()))
    keeper.release("j", 10.5)
    assert keeper.turn(11.0) == [], "the device has not been idle for a second"
    before = len(desk.pool.live())
    assert before == 3, "the job's own"
    shared = [message for message in keeper.turn(12.0) if isinstance(message, PoolShrunk)]
    assert shared == [], "there is a new one"
    assert len(desk.pool.unused()) == 1


def test_what_a_tenant_that_left_has_goes_to_one_that_stores() -> None:
    desk, keeper = kept(4)
    grown(desk, keeper, 4)
    one, worker = Peer(desk, 1, "manager", "a"), Peer(desk, 2, "worker", "a")
    assert len(one.handles(Reserve(keys=KEYS[:3]))) == 3
    other, _ = Peer(desk, 3, "manager", "b", space=OTHER), Peer(desk, 4, "worker", "b", space=OTHER)
    for peer in (one, worker):
        peer.leave()
    for now in range(10, 30):
        other.handles(Reserve(keys=KEYS))
        keeper.turn(now)
    assert len(desk.pool.of(OTHER)) == 4


def wanting(id: str, *, everything: bool = False) -> ReserveMemory:
    return ReserveMemory(device="cpu", id=id, worker="w", lease="l", job="j", everything=everything, until=100.0)


def answers(messages: list[Message]) -> list[tuple[str, bool, int]]:
    return [(said.id, said.granted, said.freed) for said in messages if isinstance(said, MemoryReserved)]


def test_everything_is_all_chunks_and_granted_when_the_last_one_has_left() -> None:
    """Beside a reservation that the same job has already."""
    desk, keeper = kept(4)
    grown(desk, keeper, 4)
    _, _, worker = two_tenants(desk)
    keeper.reserve(wanting("first"), 10.0)
    assert answers(keeper.turn(10.0)) == [("first", True, 0)]
    assert len(desk.pool.live()) == 4, "a headroom of nothing is there"
    keeper.reserve(wanting("all", everything=True), 10.1)
    told = keeper.turn(10.1)
    shrunk = [(said.chunks, said.bytes, said.reservation) for said in told if isinstance(said, PoolShrunk)]
    assert (shrunk, answers(told)) == ([(4, 0, "all")], [])
    worker.tell(Unmapped(chunks=desk.pool.leaving()))
    assert answers(keeper.turn(10.2)) == [("all", True, 4 * CHUNK)]
    assert answers(keeper.reserve(wanting("all", everything=True), 10.3)) == [("all", True, 4 * CHUNK)]
    keeper.release("all", 10.4)
    keeper.turn(20.0)
    assert desk.pool.live() == [], "the job is not over"


def test_of_an_empty_pool_everything_is_nothing() -> None:
    _, keeper = kept(4)
    keeper.reserve(wanting("first"), 0.0)
    keeper.turn(0.0)
    keeper.reserve(wanting("all", everything=True), 0.1)
    assert answers(keeper.turn(0.1)) == [("all", True, 0)]


def test_everything_is_denied_while_a_peer_keeps_a_chunk() -> None:
    desk, keeper = kept(4)
    grown(desk, keeper, 4)
    two_tenants(desk)
    keeper.reserve(wanting("all", everything=True), 10.0)
    assert answers(keeper.turn(10.0)) == []
    assert answers(keeper.turn(11.0)) == [("all", False, 0)]
