"""A pool that engines reach over NIXL and TCP, as from another host: the service is a process of its own, nothing of it
is mapped here, and UCX is left no way but TCP."""
from __future__ import annotations

import asyncio
import itertools
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.bus import Bus, Server
from common.messages import PoolReleased
from common.worker.memory import NoRoom
from kvstore.address import BadAddress, parse, read_address
from kvstore.engine.copier import Bools, Copied, Copy
from kvstore.engine.host import HostCopier
from kvstore.engine.remote import host_buffer
from kvstore.frames import Frames, framed
from kvstore.line import Line, SessionRefused
from kvstore.memory import MemoryFailed, make_peer
from kvstore.memory import agent as nixl
from kvstore.memory.agent import agent, installed
from kvstore.memory.nixl import RemoteMapping
from kvstore.wire import PACKET
from tests.kvstore.engines import free_port
from tests.kvstore.fake_engine import GEOMETRY, FakeEngine, key
from tests.kvstore.process import Process, all_of_it, eventually, fresh, whole, working
from tests.kvstore.service import hello, until

needs_nixl = pytest.mark.skipif(not installed(), reason="NIXL is not installed: pip install '.[nixl]'")
TOKEN = "only-for-tests"
ADDRESS = "far.addr"


@pytest.fixture(scope="module")
def far(nats_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The service. Its own folder is not the engines'."""
    folder = tmp_path_factory.mktemp("far")
    (folder / "token").write_text(TOKEN + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UCX_TLS", "tcp")
        with Process(
            nats_server, folder, kind="nixl", listen=f"127.0.0.1:{free_port()}", token_file=folder / "token"
        ) as process:
            yield process


@pytest.fixture
async def pool(far: Process, bus: Bus) -> Process:
    await fresh(bus)
    return far


@pytest.fixture
def engines(pool: Process, tmp_path: Path) -> Iterator[tuple[FakeEngine, FakeEngine]]:
    """Two that know the pool by its address."""
    (tmp_path / ADDRESS).write_text(f"{pool.values['listen']} {TOKEN}\n")
    made = FakeEngine(tmp_path, "a"), FakeEngine(tmp_path, "b")
    connected(*made)
    yield made
    for engine in made:
        engine.close()


def connected(*engines: FakeEngine) -> None:
    until(lambda: all(engine.transfers._pools["far"]._line for engine in engines))


def store(engine: FakeEngine, keys: list[bytes]) -> None:
    """Until the pool says that all are written; what was lost on the way is offered again."""
    requests = map(str, itertools.count())

    def there() -> bool:
        engine.store(next(requests), keys)
        return engine.tier.find("look", keys, 0) == len(keys)

    until(there)


def mapping(engine: FakeEngine, keys: list[bytes]) -> tuple[RemoteMapping, int]:
    """The chunk of the first block as the engine has it, and where its page begins there."""
    (_, handle), *_ = [slot for slot in engine.tier.pin(keys) if slot]
    with engine.transfers._pools["far"].use([handle.chunk]) as chunks:
        found = chunks[handle.chunk]
    assert isinstance(found, RemoteMapping)
    return found, GEOMETRY.offset(handle.page, 0)


async def take_all(bus: Bus) -> None:
    """A job that needs more than there is: all of the pool is revoked, and what its engines hold comes back."""
    with pytest.raises(NoRoom):
        async with working(bus, needed=all_of_it()):
            pass


@needs_nixl
def test_blocks_travel_from_one_engine_to_another(engines: tuple[FakeEngine, FakeEngine]) -> None:
    a, b = engines
    keys = [key(n) for n in range(10)]
    store(a, keys)
    assert b.load("s", keys) == (10, 0)
    assert b.load("t", [*keys[:4], key(99), *keys[4:]]) == (4, 0)


@needs_nixl
def test_more_pages_than_the_buffer_holds_go_one_part_after_the_other(engines: tuple[FakeEngine, FakeEngine]) -> None:
    a, b = engines
    for engine in engines:
        for lane in engine.transfers._lanes.values():
            lane.copier._pages = 3  # type: ignore[attr-defined]
    keys = [key(n) for n in range(100, 110)]
    store(a, keys)
    assert b.load("s", keys) == (10, 0)


@needs_nixl
def test_what_a_copy_through_the_buffer_used_is_free_again(
    engines: tuple[FakeEngine, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = engines
    made: list[Copy] = []
    ended: list[Copy] = []
    for name in ("store", "load"):
        monkeypatch.setattr(HostCopier, name, noted(getattr(HostCopier, name), made, ended))
    keys = [key(n) for n in range(300, 304)]
    store(a, keys)
    assert a.load("s", keys) == (4, 0)
    assert made and made == ended


def noted(copy: Callable[..., Copy], made: list[Copy], ended: list[Copy]) -> Callable[..., Copy]:
    """The same, which notes its copies as they are made and as their result is taken."""

    class Noted(Copied):
        def result(self) -> Bools:
            ended.append(self)
            return super().result()

    def noting(*arguments: Any) -> Copy:
        made.append(Noted(copy(*arguments).result()))
        return made[-1]

    return noting


@needs_nixl
def test_a_page_that_somebody_overwrote_is_noticed(engines: tuple[FakeEngine, FakeEngine]) -> None:
    """As a write that comes too late would."""
    a, b = engines
    keys = [key(n) for n in range(200, 204)]
    store(a, keys)
    chunk, begin = mapping(a, keys)
    rubbish = host_buffer(4_096)
    agent().register(rubbish.address, rubbish.size)
    agent().move("WRITE", [(rubbish.address, 8, 0)], [(chunk.address + begin, 8, 0)], chunk.remote)
    assert b.load("s", keys) == (3, 1)
    assert b.load("t", keys) == (0, 0)


@needs_nixl
async def test_a_revoked_chunk_is_gone_and_who_comes_too_late_reads_nothing(
    bus: Bus, pool: Process, engines: tuple[FakeEngine, FakeEngine]
) -> None:
    """Its memory is given back, a stale address does no harm to the service, and the pool serves on."""
    a, b = engines
    keys = [key(n) for n in range(300, 310)]
    await asyncio.to_thread(store, a, keys)
    chunk, begin = mapping(a, keys)
    metadata, size = chunk.remote.spans[chunk.address], GEOMETRY.part_bytes
    await take_all(bus)
    await eventually(bus, PoolReleased)
    assert await asyncio.to_thread(b.load, "s", keys) == (0, 0)
    late = host_buffer(4_096)
    agent().register(late.address, late.size)
    late.memory[:size] = b"x" * size
    remote = agent().reach(chunk.address, metadata)
    try:
        agent().move("READ", [(late.address, size, 0)], [(chunk.address + begin, size, 0)], remote)
    except MemoryFailed:
        pass  # as on a fabric
    else:
        assert not np.frombuffer(late.memory[:size], np.uint8).any(), "zero: no tag is"
    agent().leave(remote, chunk.address)
    await whole(bus)
    assert pool.running.poll() is None
    await asyncio.to_thread(store, a, keys)
    assert await asyncio.to_thread(b.load, "t", keys) == (10, 0)


@needs_nixl
async def test_blocks_that_come_and_go_are_never_wrong(
    bus: Bus, pool: Process, engines: tuple[FakeEngine, FakeEngine]
) -> None:
    """Engines store and load while the pool is taken back and grows again: a load is right or counts as failed, and
    every time the pool has grown something is loaded again."""
    a, b = engines
    running, loaded = True, 0

    def work() -> None:
        nonlocal loaded
        number = 1_000
        while running:
            keys = [key(n) for n in range(number, number + 8)]
            a.store(f"r{number}", keys)
            loaded += b.load(f"s{number}", keys)[0]
            loaded += a.load(f"t{number}", keys)[0]
            number += 4

    working_on = asyncio.create_task(asyncio.to_thread(work))
    try:
        for _ in range(3):
            await take_all(bus)
            await whole(bus)
            before = loaded
            async with asyncio.timeout(30):
                while loaded == before and not working_on.done():  # noqa: ASYNC110 - counted by a thread
                    await asyncio.sleep(0.02)
    finally:
        running = False
        await working_on
    assert loaded > 0


@needs_nixl
def test_a_service_that_does_not_answer_costs_a_computation_and_is_used_again(
    pool: Process, engines: tuple[FakeEngine, FakeEngine]
) -> None:
    """Without a fabric the owner's process has to serve a transfer: one that is stopped never does."""
    a, b = engines
    keys = [key(n) for n in range(500, 505)]
    store(a, keys)
    assert b.tier.find("s", keys, 0) == 5
    slots = b.tier.pin(keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nixl, "_MOST_SECONDS", 0.5)
        pool.running.send_signal(signal.SIGSTOP)
        try:
            until(lambda: all(state == "T" for state in states(pool.running.pid)))
            assert b._run("load", 5, slots) == set(range(5)), "to be computed"
        finally:
            pool.running.send_signal(signal.SIGCONT)
        # The connection is made anew while both sides still clear the old one away: where that goes wrong the transfer
        # fails once more, which must not take as long as the test waits.
        patch.setattr(nixl, "_MOST_SECONDS", 2.0)
        store(a, keys)
        until(lambda: b.load("t", keys) == (5, 0))


def states(process: int) -> list[str]:
    """Of its threads; one may end at this moment."""
    found = []
    for file in Path(f"/proc/{process}/task").glob("*/stat"):
        with suppress(OSError):
            found.append(file.read_text().rsplit(")", 1)[1].split()[0])
    return found


@needs_nixl
async def test_a_killed_service_that_is_started_again_is_found(
    bus: Bus, pool: Process, engines: tuple[FakeEngine, FakeEngine]
) -> None:
    a, b = engines
    keys = [key(n) for n in range(400, 405)]
    await asyncio.to_thread(store, a, keys)
    assert b.tier.find("s", keys, 0) == 5
    slots = b.tier.pin(keys)
    pool.end(signal.SIGKILL)
    assert await asyncio.to_thread(b._run, "load", 5, slots) == set(range(5)), "to be computed"
    pool.start()
    await whole(bus)
    await asyncio.to_thread(connected, a, b)
    await asyncio.to_thread(store, a, keys)
    assert await asyncio.to_thread(b.load, "t", keys) == (5, 0)


@needs_nixl
def test_without_the_token_nobody_comes_in(pool: Process, tmp_path: Path) -> None:
    (tmp_path / ADDRESS).write_text(f"{pool.values['listen']} guessed")
    with pytest.raises(SessionRefused, match="another token"):
        Line(tmp_path / ADDRESS, hello("manager"), timeout=10.0)


@needs_nixl
def test_what_is_no_packet_ends_the_session_alone(pool: Process) -> None:
    where = parse(str(pool.values["listen"]))
    with socket.create_connection((where.host, where.port), timeout=10.0) as rude:
        rude.sendall((PACKET + 1).to_bytes(4, "big") + b"x")
        assert rude.recv(16) == b""
    assert pool.running.poll() is None


def test_only_memory_that_can_be_reached_is_offered_to_other_hosts(nats_server: Server, tmp_path: Path) -> None:
    assert Process(nats_server, tmp_path, listen="127.0.0.1:0").running.wait(30) == 2


def test_a_process_without_nixl_says_what_to_install() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nixl, "_MODULES", ("no_such_module",))
        with pytest.raises(MemoryFailed, match="pip install"):
            nixl._api()


def test_an_offer_that_is_none_is_refused() -> None:
    with pytest.raises(MemoryFailed, match="nobody understands"):
        make_peer("nixl").open(b"\xc1", None, 1, writable=True)


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_packets_come_out_of_a_stream_as_they_went_in(size: int) -> None:
    packets = [bytes([n]) * (n * 37 + 1) for n in range(20)]
    stream, frames, found = b"".join(map(framed, packets)), Frames(), []
    for at in range(0, len(stream), size):
        frames.add(stream[at : at + size])
        while (packet := frames.take()) is not None:
            found.append(packet)
    assert found == packets


@pytest.mark.parametrize(("text", "says"), [
    ("host:1", "1 words"), ("host token", "no address"), ("host:99999 token", "no address"), (":1 token", "no address"),
])
def test_an_address_that_is_none_is_said(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / ADDRESS).write_text(text)
    with pytest.raises(BadAddress, match=says):
        read_address(tmp_path / ADDRESS)
