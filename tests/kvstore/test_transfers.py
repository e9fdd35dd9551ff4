"""What the scheduler asks and what a worker copies, over a real pool, without an engine."""
from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from kvstore.checksum import checksums
from kvstore.desk import Session
from kvstore.engine import mappings
from kvstore.engine.config import TierConfig, read, transfer_config
from kvstore.engine.copier import Copy, Places
from kvstore.engine.host import HostCopier
from kvstore.engine.slots import Ints
from kvstore.engine.transfers import Transfers
from kvstore.geometry import Space
from kvstore.line import Line
from kvstore.memory import Mapping, Peer, make_peer
from kvstore.wire import Hello
from tests.kvstore.fake_engine import CHUNK, GEOMETRY, FakeEngine, content, key, stored
from tests.kvstore.service import PoolService, pool_service, until


def test_blocks_travel_from_one_engine_to_another(service: PoolService, make: Callable[..., FakeEngine]) -> None:
    a, b = make("a"), make("b")
    keys = [key(n) for n in range(10)]
    assert a.store("r", keys) == 10
    stored(service, 10)
    assert b.load("s", keys) == (10, 0)
    assert b.load("s", [*keys[:4], key(99), *keys[4:]]) == (4, 0)


def test_jobs_that_wait_are_copied_together(service: PoolService, make: Callable[..., FakeEngine]) -> None:
    a, b = make("a"), make("b")
    copier = a.transfers._lanes["store"].copier
    store, begun, go, sizes = copier.store, threading.Event(), threading.Event(), []

    def slow(blocks: Ints, places: Places, mark: None) -> Copy:
        sizes.append(len(blocks))
        begun.set()
        assert go.wait(60)
        return store(blocks, places, mark)

    copier.store = slow  # type: ignore[method-assign]
    keys = [key(n) for n in range(3)]
    for number, name in enumerate(keys):
        a.fill(number, content(name))
        a.transfers.submit(number, "store", [number], a.tier.reserve(f"r{number}", [name]).slots)
        assert begun.wait(60)
    go.set()
    a.transfers.wait(range(3))
    assert sizes == [1, 2]
    assert sorted(done.id for done in a.transfers.finished()) == [0, 1, 2]
    stored(service, 3)
    assert b.load("s", keys) == (3, 0)


def test_a_damaged_page_is_noticed_and_dropped(service: PoolService, make: Callable[..., FakeEngine]) -> None:
    a, b = make("a"), make("b")
    keys = [key(n) for n in range(4)]
    a.store("r", keys)
    stored(service, 4)
    (_, handle) = a.tier.pin(keys)[2] or pytest.fail("not there") if a.tier.find("p", keys, 0) else pytest.fail("no")
    with a.transfers._pools["cpu"].use([handle.chunk]) as chunks:
        memory = chunks[handle.chunk].memory  # type: ignore[attr-defined]
        memory[GEOMETRY.offset(handle.page, 0) + 7] ^= 1
    assert b.load("s", keys) == (3, 1)
    until(lambda: service.call(service.pool.blocks) == 3)
    assert b.load("t", keys) == (2, 0)


def test_a_request_whose_load_failed_computes_from_then_on(
    service: PoolService, make: Callable[..., FakeEngine]
) -> None:
    a = make("a")
    a.store("r", [key(1)])
    stored(service, 1)
    assert a.tier.find("s", [key(1)], 0) == 1
    assert a.tier.take_rewinds() == set()
    a.tier.give_up("s")
    assert a.tier.take_rewinds() == {"s"}, "what it computes instead is offered"
    assert a.tier.find("s", [key(1)], 0) == 0
    a.tier.forget("s")
    assert a.tier.find("s", [key(1)], 0) == 1


def test_a_prefix_that_is_too_short_is_computed(service: PoolService, make: Callable[..., FakeEngine]) -> None:
    a = make("a")
    a.store("r", [key(n) for n in range(4)])
    stored(service, 4)
    a.tier._config = TierConfig(sockets="", min_load_tokens=65)
    assert a.tier.find("s", [key(n) for n in range(4)], 0) == 0


def test_a_session_that_broke_in_whatever_way_is_made_again_with_its_own_memory(
    service: PoolService, make: Callable[..., FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with an offer of a length that no driver takes. The pool that comes next may be of another kind."""
    asked: list[str] = []

    class Strange:
        maps = True

        def open(self, *arguments: object, **more: object) -> Mapping:
            raise ValueError("Buffer size too small")

    def peer(kind: str, context: int | None) -> Peer:
        asked.append(kind)
        return Strange() if len(asked) == 1 else make_peer(kind)

    monkeypatch.setattr(mappings, "make_peer", peer)
    monkeypatch.setattr(mappings, "_REFUSED_SECONDS", 0.01)
    a = make("a")
    a.store("r", [key(1)])
    until(lambda: len(asked) == 2 and a.connected())
    assert a.store("s", [key(2)]) == 1
    stored(service, 1)
    assert a.load("t", [key(2)]) == (1, 0)


def test_what_a_worker_says_before_its_session_has_begun_is_said_then(
    service: PoolService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service counts it a little earlier, and promises its engine pages already."""
    goes_on = threading.Event()
    monkeypatch.setattr(Line, "wait_without_limit", lambda line: goes_on.wait(60) and line._socket.settimeout(None))
    a = FakeEngine(service.path.parent, "a")
    try:
        until(lambda: service.call(service.desk.workers))
        assert a.store("r", [key(1)]) == 1
        assert a.store("s", [key(1)]) == 0, "the service waits for what was promised"
        goes_on.set()
        until(lambda: a.store("t", [key(1)]) == 1, seconds=3)
    finally:
        goes_on.set()
        a.close()


def test_a_prefix_in_two_pools_is_loaded_from_both(service: PoolService, make: Callable[..., FakeEngine]) -> None:
    with pool_service(service.path.parent / "other.sock", chunks=1, chunk_bytes=CHUNK) as other:
        a, b = make("a"), make("b")
        for request, pool, numbers in (("r1", "cpu", range(6)), ("r2", "other", range(6, 12))):
            a.tier._chain(request, []).pool = pool
            time.sleep(0.05)
            assert a.store(request, [key(n) for n in numbers]) == 6
        stored(service, 6)
        stored(other, 6)
        keys = [key(n) for n in range(12)]
        assert b.load("s", keys) == (12, 0)
        assert {slot[0] for slot in b.tier.pin(keys) if slot} == {"cpu", "other"}


def test_what_was_lost_or_left_out_is_offered_again(service: PoolService, make: Callable[..., FakeEngine]) -> None:
    a = make("a")
    keys = [key(n) for n in range(6)]
    a.store("r", keys[:2])
    assert a.tier.take_rewinds() == set()
    service.call(lambda: service.desk.shrink(2))
    assert a.store("r", keys[2:3]) == 0, "no chunk is left"
    assert a.tier.take_rewinds() == set(), "there is no use in offering now"
    service.grow(2)
    assert a.store("r", keys[3:4]) == 1
    assert a.tier.take_rewinds() == {"r"}
    assert a.store("r", keys[:5]) == 4
    assert a.tier.take_rewinds() == set()
    stored(service, 5)


def test_what_was_found_and_then_lost_is_offered_by_who_found_it(
    service: PoolService, make: Callable[..., FakeEngine]
) -> None:
    """vLLM counts what it plans to load as stored."""
    a, b = make("a"), make("b")
    keys = [key(n) for n in range(6)]
    a.store("r", keys[:4])
    stored(service, 4)
    assert b.load("s", keys[:4]) == (4, 0)
    service.call(lambda: service.desk.shrink(2))
    service.grow(2)
    assert b.store("s", keys[4:]) == 2
    assert b.tier.take_rewinds() == {"s"}
    assert b.store("s", keys) == 4


def test_pages_of_a_grant_that_never_came_are_free_again(
    service: PoolService, make: Callable[..., FakeEngine]
) -> None:
    """The service reserves them and is then too slow to say so."""
    a = make("a")
    a.store("r", [key(0)])
    stored(service, 1)
    a.tier._pools["cpu"]._line._socket.settimeout(1.0)  # type: ignore[union-attr]
    reserve = service.desk._reserve

    def once(session: Session, hello: Hello, keys: list[bytes]) -> None:
        service.desk._reserve = reserve  # type: ignore[method-assign]
        service.pool.directory(hello.space).reserve(hello.engine, keys, lambda: False)

    service.desk._reserve = once  # type: ignore[method-assign]
    assert a.store("r", [key(1), key(2)]) == 2, "asked again at once"
    stored(service, 3)


def test_a_limit_keeps_the_rest_out(service: PoolService, make: Callable[..., FakeEngine]) -> None:
    a = make("a")
    keys = [key(n) for n in range(6)]
    assert len(a.tier.reserve("r", keys[:4], limit=5).keys) == 4
    assert len(a.tier.reserve("r", keys[4:], limit=5).keys) == 1


def test_an_engine_with_another_order_of_bytes_is_refused_whole(
    service: PoolService, make: Callable[..., FakeEngine], caplog: pytest.LogCaptureFixture
) -> None:
    make("a")
    other = FakeEngine(service.path.parent, "z")
    other.transfers.close()
    hello = Hello(role="worker", engine="z", space=Space(model="m"), geometry=GEOMETRY, shape="one")
    copier = HostCopier(other.regions, GEOMETRY, 0)
    other.transfers = Transfers(service.path.parent, hello, copier, copier)
    until(lambda: "put together as 'one', those of others as 'two'" in caplog.text)
    assert other.tier.find("r", [key(1)], 0) == 0
    assert not other.tier._pools["cpu"].up
    other.close()


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_random_steps_never_load_a_wrong_block(
    service: PoolService, make: Callable[..., FakeEngine], seed: int
) -> None:
    """Three engines of two tenants, a pool too small for all, chunks revoked and added at random, over real memory."""
    numbers = random.Random(seed)
    engines = [make("a"), make("b", queues=True), make("c", "other")]
    loaded = failed = 0
    for step in range(400):
        start, length = numbers.randrange(30), numbers.randrange(1, 12)
        keys = [key(n) for n in range(start, start + length)]
        engine = numbers.choice(engines)
        if numbers.random() < 0.1:
            service.call(lambda: service.desk.shrink(numbers.randrange(1, 3)))
        service.call(service.desk.release)
        service.grow(max(0, numbers.randrange(1, 4) - len(service.call(lambda: list(service.pool.chunks)))))
        if numbers.random() < 0.5:
            engine.store(f"r{step}", keys)
        else:
            good, bad = engine.load(f"r{step}", keys)
            loaded, failed = loaded + good, failed + bad
    assert loaded > 50, "fewer on a busy machine, where more is looked for before it is known to be written"


def test_one_wrong_bit_and_swapped_words_change_the_checksum() -> None:
    block = np.random.default_rng(0).integers(0, 256, (1, 4096), dtype=np.uint8)
    total = checksums(block)
    for bit in range(0, 4096 * 8, 97):
        wrong = block.copy()
        wrong[0, bit // 8] ^= 1 << bit % 8
        assert checksums(wrong) != total
    swapped = block.copy()
    swapped[0, :8], swapped[0, 8:16] = block[0, 8:16], block[0, :8]
    assert checksums(swapped) != total


def test_a_configuration_is_one_line_and_its_mistakes_are_named() -> None:
    extra = {"sockets": "/x", "tenant": 5}
    with pytest.raises(ValueError, match="tenant"):
        read(extra)
    with pytest.raises(ValueError, match="sockets"):
        read({"spec_name": "PoolSpec"})
    assert '"kv_load_failure_policy":"recompute"' in transfer_config("/x", tenant="t")


def test_a_copier_for_other_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="256"):
        HostCopier([np.zeros((2, 64), dtype=np.uint8)], GEOMETRY, 0)
