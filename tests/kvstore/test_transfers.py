"""The engine's side without an engine: what the scheduler asks and what a worker copies, over a real pool."""
from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kvstore.checksum import checksums
from kvstore.desk import Session
from kvstore.engine.config import TierConfig, read, transfer_config
from kvstore.engine.copier import Bools, Copy, Places
from kvstore.engine.host import Bytes, HostCopier
from kvstore.engine.remote import RemoteCopier, host_buffer
from kvstore.engine.slots import Ints, Slots
from kvstore.engine.tier import Tier
from kvstore.engine.transfers import Transfers
from kvstore.geometry import Geometry, Space
from kvstore.wire import Hello
from tests.kvstore.service import PoolService, pool_service, until

WIDTHS = (96, 160)
GEOMETRY = Geometry(layout="test", dtype="float32", tokens=16, payload=sum(WIDTHS))
PAGES = 8
CHUNK = PAGES * GEOMETRY.page_bytes
BLOCKS = 24


def content(key: bytes) -> Bytes:
    return np.random.default_rng(list(key)).integers(0, 256, GEOMETRY.payload, dtype=np.uint8)


def key(number: int) -> bytes:
    return number.to_bytes(4, "big") * 9


HELD = [key(number) for number in range(10)]


class Queued:
    """A copy that is made when the device comes to it. Who waits for it wakes later."""

    def __init__(self, copy: Callable[[], Copy], done: threading.Event, wakes: threading.Event) -> None:
        self._copy = copy
        self._done = done
        self._wakes = wakes

    def ready(self) -> bool:
        return self._done.is_set()

    def wait(self) -> None:
        assert self._done.wait(60) and self._wakes.wait(60)

    def result(self) -> Bools:
        assert self._done.wait(60)
        return self._copy().result()


class Queueing(HostCopier):
    """Its loads are queued. `queued_by` names the threads that did; the device comes to the next ones as `gates` open,
    and to others at once."""

    queues = True
    slice_bytes = 3 * GEOMETRY.payload

    def __init__(self, regions: Sequence[Bytes]) -> None:
        super().__init__(regions, GEOMETRY, 0)
        self.queued_by: list[str] = []
        self.gates: list[threading.Event] = []
        self.wakes = opened()

    def load(self, blocks: Ints, places: Places, mark: None) -> Copy:
        self.queued_by.append(threading.current_thread().name)
        gate = self.gates.pop(0) if self.gates else opened()
        return Queued(partial(super().load, blocks, places, mark), gate, self.wakes)


def opened() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


class FakeEngine:
    """Blocks of KV in two regions, a tier and a worker, without what computes. With `queues` a load only queues."""

    def __init__(self, folder: Path, name: str, tenant: str = "", *, queues: bool = False) -> None:
        self.regions = [np.zeros((BLOCKS, width), dtype=np.uint8) for width in WIDTHS]
        config = TierConfig(sockets=str(folder), min_load_tokens=0, timeout_seconds=5.0, retry_seconds=0.02)
        space = Space(model="m", tenant=tenant)
        self.tier = Tier(config, Hello(role="manager", engine=name, space=space, geometry=GEOMETRY))
        hello = Hello(role="worker", engine=name, space=space, geometry=GEOMETRY, shape="two")
        store, load = [
            RemoteCopier(HostCopier(self.regions, GEOMETRY, 0), GEOMETRY, 0, host_buffer, None) for _ in range(2)
        ]
        self.transfers = Transfers(folder, hello, store, Queueing(self.regions) if queues else load)
        self.jobs = 0

    def connected(self) -> bool:
        """Whether the worker can copy; the service counts it a little earlier, when it has sent its welcome."""
        pools = self.transfers._pools.values()
        return bool(pools) and all(pool._line is not None for pool in pools)

    def fill(self, block: int, data: Bytes) -> None:
        first, second = np.split(data, [WIDTHS[0]])
        self.regions[0][block], self.regions[1][block] = first, second

    def block(self, block: int) -> Bytes:
        return np.concatenate([region[block] for region in self.regions])

    def store(self, request: str, keys: list[bytes]) -> int:
        """Compute the blocks and store what the tier wants; how many."""
        granted = self.tier.reserve(request, keys)
        for number, name in enumerate(granted.keys):
            self.fill(number, content(name))
        self._run("store", len(granted.keys), granted.slots)
        return len(granted.keys)

    def load(self, request: str, keys: list[bytes]) -> tuple[int, int]:
        """Load what can be found; (loaded, failed). A block that counts as loaded must be the right one."""
        count = self.tier.find(request, keys, 0)
        slots = self.tier.pin(keys[:count])
        for region in self.regions:
            region[:] = 0
        failed = self._run("load", count, slots)
        for number, name in enumerate(keys[:count]):
            if number not in failed:
                assert np.array_equal(self.block(number), content(name)), "a wrong block"
        return count - len(failed), len(failed)

    def _run(self, direction: str, count: int, slots: Slots) -> set[int]:
        self.jobs += 1
        self.transfers.submit(self.jobs, direction, list(range(count)), slots)  # type: ignore[arg-type]
        self.transfers.wait([self.jobs])
        assert [done.id for done in self.transfers.finished()] == [self.jobs]
        return self.transfers.take_failed()

    def close(self) -> None:
        self.tier.close()
        self.transfers.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PoolService]:
    with pool_service(tmp_path / "kv/cpu.sock", chunks=2, chunk_bytes=CHUNK) as made:
        yield made


@pytest.fixture
def make(service: PoolService) -> Iterator[Callable[..., FakeEngine]]:
    engines: list[FakeEngine] = []

    def start(name: str, tenant: str = "", *, queues: bool = False) -> FakeEngine:
        engines.append(FakeEngine(service.path.parent, name, tenant, queues=queues))
        until(engines[-1].connected)
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def stored(service: PoolService, blocks: int) -> None:
    until(lambda: service.call(service.pool.blocks) == blocks)


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


@pytest.fixture
def queueing(service: PoolService, make: Callable[..., FakeEngine]) -> tuple[FakeEngine, Queueing]:
    """An engine that has loaded `HELD` before, so that all chunks are mapped."""
    a, b = make("a"), make("b", queues=True)
    a.store("r", HELD)
    stored(service, len(HELD))
    assert b.load("s", HELD) == (len(HELD), 0)
    copier = b.transfers._lanes["load"].copier
    assert isinstance(copier, Queueing)
    until(lambda: b.transfers._lanes["load"].idle)
    copier.queued_by.clear()
    return b, copier


def test_a_load_that_waits_for_nothing_is_the_engines_own_threads(queueing: tuple[FakeEngine, Queueing]) -> None:
    """Two pieces under way, then the third, while the other thread has not woken from the first."""
    b, copier = queueing
    copier.gates = [threading.Event() for _ in range(3)]
    copier.wakes = threading.Event()
    gates, here = list(copier.gates), threading.current_thread().name
    b.transfers.submit(101, "load", range(8), b.tier.pin(HELD[:8]))
    assert copier.queued_by == [here] * 2
    assert b.transfers.finished() == []
    for gate in gates:
        gate.set()
    assert [done.id for done in b.transfers.finished()] == [101]
    assert copier.queued_by == [here] * 3
    copier.wakes.set()
    assert not b.transfers.take_failed()
    assert all(np.array_equal(b.block(number), content(HELD[number])) for number in range(8))


def test_a_load_that_the_engine_does_not_ask_for_ends_all_the_same(queueing: tuple[FakeEngine, Queueing]) -> None:
    """And what it had mapped is given back."""
    b, _ = queueing
    b.transfers.submit(101, "load", range(8), b.tier.pin(HELD[:8]))
    b.transfers.wait([101])
    until(lambda: not any(b.transfers._pools["cpu"]._users.values()))
    assert [done.id for done in b.transfers.finished()] == [101]


def test_a_load_behind_another_is_left_to_the_thread(queueing: tuple[FakeEngine, Queueing]) -> None:
    b, copier = queueing
    copier.gates = [gate := threading.Event()]
    b.transfers.submit(101, "load", range(3), b.tier.pin(HELD[:3]))
    b.transfers.submit(102, "load", range(3, 6), b.tier.pin(HELD[:3]))
    gate.set()
    b.transfers.wait([101, 102])
    assert copier.queued_by == [threading.current_thread().name, "kv-load"]
    assert [done.id for done in b.transfers.finished()] == [101, 102] and not b.transfers.take_failed()
    assert all(np.array_equal(b.block(number), content(HELD[number % 3])) for number in range(6))


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
    a.tier.give_up("s")
    assert a.tier.find("s", [key(1)], 0) == 0
    a.tier.forget("s")
    assert a.tier.find("s", [key(1)], 0) == 1


def test_a_prefix_that_is_too_short_is_computed(service: PoolService, make: Callable[..., FakeEngine]) -> None:
    a = make("a")
    a.store("r", [key(n) for n in range(4)])
    stored(service, 4)
    a.tier._config = TierConfig(sockets="", min_load_tokens=65)
    assert a.tier.find("s", [key(n) for n in range(4)], 0) == 0


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
