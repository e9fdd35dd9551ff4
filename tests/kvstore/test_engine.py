"""Two real engines share a pool: what one stored the other loads, and whatever happens to the pool, outputs are equal.

Both serve the whole module. Prompts are random tokens, another seed for each test, so that nothing is cached by chance.
"""
from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.bus import Bus, BusSettings, Server
from common.messages import (
    Budget,
    ForkRequest,
    GenerationEnded,
    GenerationStarted,
    Llm,
    RunSubmitted,
    TokenDelta,
    pattern,
)
from common.report.events import collect
from common.task import read_task
from kvstore.directory import Directory
from kvstore.geometry import Geometry, Handle, Space
from kvstore.line import Line
from kvstore.memory.agent import installed
from kvstore.wire import Hello, Revoke
from tests.kvstore.engines import BLOCK, CONTEXT, TINY, Answer, Engine, free_port, two_engines
from tests.kvstore.process import Process
from tests.kvstore.service import PoolService, pool_service, until
from tests.pipeline.recordings import TASK
from tests.servers import running_server

pytestmark = pytest.mark.engine
PROMPT = 600
FULL = PROMPT // BLOCK * BLOCK
TOGETHER = 4
"""Blocks of a running request that are stored at once: one fewer may be missing."""
MIB = 2**20
Engines = tuple[Engine, Engine]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def engines(folder: Path) -> Iterator[Engines]:
    yield from two_engines(folder, folder / "kv")


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Leases as long as they are live: a generator may come late to a shorter one, and begin anew."""
    with running_server(BusSettings(state_dir=str(tmp_path_factory.mktemp("nats")))) as server:
        yield server


@pytest.fixture
def pool(engines: Engines, folder: Path) -> Iterator[PoolService]:
    with pool_for(folder) as made:
        yield made


@contextmanager
def pool_for(folder: Path, chunks: int = 4) -> Iterator[PoolService]:
    """A new service, once both engines have found it."""
    with pool_service(folder / "kv/cpu.sock", chunks=chunks, chunk_bytes=MIB) as made:
        until(lambda: len(made.call(made.desk.workers)) == 2)
        yield made


def prompt(seed: int, tokens: int = PROMPT) -> list[int]:
    numbers = random.Random(seed)
    return [numbers.randrange(1_000, 40_000) for _ in range(tokens)]


@contextmanager
def answering(pool: PoolService, name: str, instead: Callable[..., Any]) -> Iterator[None]:
    """The service's directories answer with `instead` for the block."""
    directories = list(pool.pool.directories().values())
    for directory in directories:
        setattr(directory, name, partial(instead, directory))
    try:
        yield
    finally:
        for directory in directories:
            delattr(directory, name)


def blocks(pool: PoolService) -> int:
    return pool.call(pool.pool.blocks)


def test_the_second_engine_loads_what_the_first_computed(engines: Engines, pool: PoolService) -> None:
    a, b = engines
    computed = a.ask(prompt(1))
    assert computed.cached == 0
    until(lambda: blocks(pool) >= FULL // BLOCK)
    loaded = b.ask(prompt(1))
    assert loaded.cached == FULL
    assert loaded.ids == computed.ids


def test_what_an_engine_evicted_it_loads_again(engines: Engines, pool: PoolService) -> None:
    a, _ = engines
    first = a.ask(prompt(2))
    until(lambda: blocks(pool) >= FULL // BLOCK)
    for seed in (20, 21, 22):
        a.ask(prompt(seed), 1)
    pinned: list[bytes] = []

    def pin(directory: Directory, engine: str, keys: Iterable[bytes]) -> list[Handle | None]:
        pinned.extend(keys)
        return Directory.pin(directory, engine, keys)

    with answering(pool, "pin", pin):
        again = a.ask(prompt(2))
    assert pinned, "it was still in the engine's own cache"
    assert (again.cached, again.ids) == (FULL, first.ids)


def test_a_fork_on_the_other_engine_finds_the_reasoning_that_is_still_being_generated(
    engines: Engines, pool: PoolService
) -> None:
    a, b = engines
    with a.streaming(prompt(3, 300), CONTEXT - 300) as main:
        so_far = prompt(3, 300) + main.wait_for(200)[:180]
        until(lambda: blocks(pool) >= len(so_far) // BLOCK)
        fork = b.ask(so_far, 8)
        assert main.running, "the reasoning ended too soon for the test to mean anything"
    assert fork.cached == len(so_far) // BLOCK * BLOCK
    assert fork.ids == main.ids[180:188], "greedy, so the fork goes on as the reasoning did"


def test_what_waited_to_be_stored_is_stored_when_its_request_ends(engines: Engines, pool: PoolService) -> None:
    """Three blocks are too few while it runs."""
    a, b = engines
    done = a.ask(prompt(13, 300), 90)
    filled = (300 + 90 - 1) // BLOCK
    assert 0 < filled - 300 // BLOCK < TOGETHER
    until(lambda: blocks(pool) >= filled)
    assert b.ask(prompt(13, 300) + done.ids, 1).cached == filled * BLOCK


def test_a_pool_revoked_in_the_middle_of_a_load_costs_a_computation_and_nothing_else(
    engines: Engines, pool: PoolService
) -> None:
    """The pages are zeroed and taken back between the promise and the copy, as the worst case has it."""
    a, b = engines
    computed = a.ask(prompt(4))
    until(lambda: blocks(pool) >= FULL // BLOCK)
    revoked = []

    def revoke_after(directory: Directory, engine: str, keys: Iterable[bytes]) -> list[Handle | None]:
        handles = Directory.pin(directory, engine, keys)
        for segment in pool.desk._segments.values():
            os.pwrite(segment.descriptor, bytes(MIB), 0)  # type: ignore[attr-defined]
        revoked.extend(pool.desk.shrink(4))
        return handles

    with answering(pool, "pin", revoke_after):
        survived = b.ask(prompt(4))
    assert revoked
    assert survived.ids == computed.ids
    assert b.ask(prompt(5)).ids == a.ask(prompt(5)).ids
    until(lambda: set(pool.call(pool.pool.releasable)) == set(revoked))


def test_a_load_whose_chunk_is_revoked_at_once_ends_either_way_with_the_right_answer(
    engines: Engines, pool: PoolService
) -> None:
    """A race on purpose: the copy may come first or the revocation."""
    a, b = engines
    revoked: list[int] = []

    def race(directory: Directory, engine: str, keys: Iterable[bytes]) -> list[Handle | None]:
        handles = Directory.pin(directory, engine, keys)
        asyncio.get_running_loop().call_later(0.002, lambda: revoked.extend(pool.desk.shrink(4)))
        return handles

    for seed in range(60, 64):
        pool.grow(4 - len(pool.call(pool.pool.live)))
        computed = a.ask(prompt(seed), 4)
        until(lambda: blocks(pool) >= FULL // BLOCK)
        with answering(pool, "pin", race):
            assert b.ask(prompt(seed), 4).ids == computed.ids
        until(lambda: len(revoked) == 4)
        revoked.clear()


def test_a_wrong_block_in_the_pool_is_noticed(engines: Engines, pool: PoolService) -> None:
    a, b = engines
    computed = a.ask(prompt(7))
    filled = (PROMPT + len(computed.ids) - 1) // BLOCK
    until(lambda: blocks(pool) == filled)

    def scribble() -> None:
        for segment in pool.desk._segments.values():
            os.pwrite(segment.descriptor, b"!", 5_000)  # type: ignore[attr-defined]

    pool.call(scribble)
    assert b.ask(prompt(7)).ids == computed.ids
    until(lambda: "will be computed: not what was stored" in b.log.read_text())
    until(lambda: blocks(pool) == filled, seconds=20)  # what was computed in its place is stored


def test_a_worker_that_cannot_map_the_pool_costs_a_computation(engines: Engines, pool: PoolService) -> None:
    """The service says that the chunks are gone, yet goes on promising what is in them."""
    a, b = engines
    computed = a.ask(prompt(12))
    until(lambda: blocks(pool) >= FULL // BLOCK)

    def mislead() -> None:
        pool.desk._offer = lambda space: None  # type: ignore[method-assign]
        for worker in pool.desk.workers():
            worker.reply(Revoke(chunks=pool.pool.live()))

    pool.call(mislead)
    until(lambda: pool.call(lambda: not any(chunk.peers for chunk in pool.pool.chunks.values())))
    assert b.ask(prompt(12)).ids == computed.ids
    until(lambda: "will be computed: pool cpu: chunk revoked" in b.log.read_text())


def test_while_the_device_is_timed_nothing_is_copied_and_then_everything_again(
    engines: Engines, pool: PoolService
) -> None:
    a, b = engines
    pool.call(pool.desk.pause)
    until(lambda: pool.call(lambda: pool.desk.quiet))
    computed = a.ask(prompt(8))
    assert b.ask(prompt(8)).cached == 0
    assert blocks(pool) == 0
    pool.call(pool.desk.resume)
    with a.streaming(prompt(8), 100) as stream:
        stream.wait_for(1)
        until(lambda: blocks(pool) >= FULL // BLOCK)
    for seed in (80, 81, 82):
        b.ask(prompt(seed), 1)
    again = b.ask(prompt(8))
    assert (again.cached, again.ids) == (FULL, computed.ids)


def test_a_running_request_puts_back_what_a_shrinking_pool_lost(engines: Engines, pool: PoolService) -> None:
    a, b = engines
    with a.streaming(prompt(9), CONTEXT - PROMPT) as main:
        main.wait_for(40)
        pool.call(lambda: pool.desk.shrink(4))
        assert blocks(pool) == 0
        pool.grow(4)
        main.wait_for(140)
        until(lambda: blocks(pool) >= FULL // BLOCK)
        fork = b.ask(prompt(9) + main.wait_for(100)[:100], 4)
    assert fork.cached >= FULL
    assert fork.ids == main.ids[100:104]


def test_a_pool_that_is_too_small_evicts_and_answers_stay_right(engines: Engines, folder: Path) -> None:
    """One chunk of 31 pages: a second prompt pushes the first one's end out."""
    a, b = engines
    with pool_for(folder, chunks=1) as small:
        answers = {seed: a.ask(prompt(seed), 8) for seed in (30, 31, 32)}
        until(lambda: blocks(small) > FULL // BLOCK)
        for seed, answer in answers.items():
            assert b.ask(prompt(seed), 8).ids == answer.ids
        assert small.call(lambda: sum(d.evicted for d in small.pool.directories().values())) > 0


def test_engines_compute_when_the_pool_refuses_them(engines: Engines, folder: Path) -> None:
    """Somebody with other blocks came first: the engines say so in their logs and go on without."""
    a, b = engines
    other = Geometry(layout="another", dtype="float32", tokens=16, payload=1024)
    first_come = Hello(role="manager", engine="x", space=Space(model=str(TINY)), geometry=other)
    with pool_service(folder / "kv/other.sock", chunks=1, chunk_bytes=MIB) as made:
        line = Line(made.path, first_come, 5.0)
        assert a.ask(prompt(10), 4).ids == b.ask(prompt(10), 4).ids
        until(lambda: all("start engines that share alike" in engine.log.read_text() for engine in engines))
        assert a.ask(prompt(11), 4).ids == b.ask(prompt(11), 4).ids
        assert made.call(made.desk.workers) == []
        line.close()


def test_a_killed_service_that_is_started_again_is_found(
    engines: Engines, folder: Path, nats_server: Server
) -> None:
    """The real service as a process. Engines compute while it is gone, and use it when it is back."""
    a, b = engines
    process = Process(nats_server, folder / "kv")
    try:
        computed = wait_stored(a, b, 40)
        process.end(signal.SIGKILL)
        assert b.ask(prompt(39)).ids == a.ask(prompt(39)).ids
        process.start()
        wait_stored(a, b, 50)
        assert b.ask(prompt(40)).ids == computed.ids
    finally:
        process.end()


@pytest.mark.skipif(not installed(), reason="NIXL is not installed: pip install '.[nixl]'")
def test_engines_share_a_pool_that_they_reach_by_its_address(
    engines: Engines, folder: Path, nats_server: Server
) -> None:
    """As one of another host: over TCP and NIXL, with nothing mapped."""
    far = folder / "far"
    far.mkdir()
    (far / "token").write_text("secret")
    process = Process(
        nats_server, far, kind="nixl", listen=f"127.0.0.1:{free_port()}", token_file=far / "token", most_mib=8,
    )
    try:
        (folder / "kv/far.addr").write_text(f"{process.values['listen']} secret")
        wait_stored(*engines, 70)
    finally:
        process.end()


async def test_a_run_sends_a_fork_to_the_replica_that_loads_its_prefix(
    engines: Engines, pool: PoolService, bus: Bus, nats_server: Server, tmp_path: Path
) -> None:
    """A real generator on both engines: the reasoning makes its own one dearer than loading from the pool is."""
    (tmp_path / "task.py").write_text(TASK)
    urls = [engine.url for engine in engines]
    with generator(nats_server):
        await bus.record(RunSubmitted(
            run="placed", at=0.0, task=read_task(tmp_path / "task.py"), budget=Budget(iterations=1), drain_seconds=0.5,
            llm=Llm(url=urls[0], model="", replicas=tuple(urls[1:])),
        ))
        tokens = pattern(TokenDelta, run="placed", generation="main")
        async with asyncio.timeout(60), bus.listen(tokens) as deltas:
            async for delivery in deltas:
                if isinstance(delivery.message, TokenDelta) and delivery.message.first_token >= 100:
                    break
        await asyncio.to_thread(until, lambda: blocks(pool) >= 10)
        await bus.record(ForkRequest(
            run="placed", iteration=1, generation="main", at=0.0, at_token=90, at_char=0, k=1, reason="asked"
        ))
        async with asyncio.timeout(120), bus.follow(pattern(GenerationEnded, run="placed")) as feed:
            async for delivery in feed:
                if isinstance(delivery.message, GenerationEnded):
                    break
    events = await collect(bus, "placed")
    main, fork = (e.placement for e in events if isinstance(e, GenerationStarted))
    assert main and fork and (main.replica, fork.replica, fork.prefix) == (*urls, "loaded")
    [ended] = (e for e in events if isinstance(e, GenerationEnded))
    assert ended.generation == "f1"
    assert ended.cached_tokens and ended.cached_tokens >= (fork.tokens // BLOCK - TOGETHER) * BLOCK


@contextmanager
def generator(server: Server) -> Iterator[None]:
    """A service of its own. Loading costs it next to nothing, a running request much."""
    env = os.environ | {
        "SPECGEN_BUS_URL": str(server.settings.url), "SPECGEN_BUS_TOKEN": str(server.settings.token),
        "SPECGEN_GENERATOR_SHARED_POOL": "true", "SPECGEN_GENERATOR_MAX_TOKENS": "900",
        "SPECGEN_GENERATOR_FORK_MAX_TOKENS": "8", "SPECGEN_GENERATOR_METRICS_SECONDS": "0.1", "SPECGEN_LOG": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "generator"], env=env)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_stored(a: Engine, b: Engine, seed: int) -> Answer:
    """Until something `a` computed is loaded by `b`; prompts of ten seeds are tried, one every half a second."""
    for attempt in range(10):
        computed = a.ask(prompt(seed, 200 + attempt * BLOCK))
        time.sleep(0.5)
        found = b.ask(prompt(seed, 200 + attempt * BLOCK))
        assert found.ids == computed.ids
        if found.cached:
            return a.ask(prompt(seed))
    raise AssertionError("the engines never used the pool")
