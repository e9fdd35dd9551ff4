"""`python -m kvstore` as a process on a real bus, and what a test asks of it."""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from common.bus import LEASES, STATE, Bus, LeaseHeld, Server
from common.devices import Device
from common.messages import (
    PREFIX,
    Job,
    Message,
    PoolAnnounced,
    ReservationDecided,
    Stage,
    TaskSource,
)
from common.worker.memory import room
from kvstore.handles import present
from kvstore.line import Line
from kvstore.memory import make_owner
from kvstore.wire import Handles, Reserve, Role
from tests.kvstore.service import hello

M = TypeVar("M", bound=Message)
CPU = Device(id="cpu-0", kind="cpu", cores=(0,))
MIB = 2**20
KEYS = [bytes([n]) * 36 for n in range(4)]


def job(stage: Stage = Stage.VALIDATE) -> Job:
    now = time.time()
    return Job(
        stage=stage, priority=0, run="r", iteration=1, candidate="c1", attempt=1, issued_at=now, requested_at=now,
        deadline=now + 60, device="cpu", task=TaskSource(name="t", source="x"), source="y",
    )


class Process:
    """`python -m kvstore` with settings for a test: a pool of four chunks of one MiB."""

    def __init__(self, server: Server, folder: Path, **changes: object) -> None:
        self.sockets = folder
        self.values: dict[str, object] = {
            "kind": "shm", "sockets": folder, "chunk_mib": 1, "most_mib": 4, "headroom_mib": 0, "floor_mib": 0,
            "idle_seconds": 0.3, "poll_seconds": 0.05, "patience_seconds": 1.0,
        } | changes
        self._env = os.environ | {
            "SPECGEN_BUS_URL": str(server.settings.url), "SPECGEN_BUS_TOKEN": str(server.settings.token),
        } | {f"SPECGEN_KVSTORE_{name.upper()}": str(value) for name, value in self.values.items()}
        self.running = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.running = subprocess.Popen([sys.executable, "-m", "kvstore"], env=self._env)
        return self.running

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.running.send_signal(number)
        return self.running.wait(20)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def connect(self, role: Role, engine: str = "e") -> Line:
        return Line(self.sockets / "cpu.sock", hello(role, engine), timeout=10.0)


async def fresh(bus: Bus) -> None:
    """Whole again after the test before, and nothing on the record."""
    await whole(bus)
    await bus.purge(f"{PREFIX}.ops.>")


async def whole(bus: Bus) -> None:
    """Until the pool has its four chunks and is announced."""
    async with asyncio.timeout(30):
        async with bus.table(STATE).watch("kv.cpu") as entries:
            async for entry in entries:
                announced = entry.decode(PoolAnnounced)
                if (announced.chunks, announced.leaving) == (4, 0):
                    break
        while await bus.table(LEASES).get("kv.cpu") is None:  # noqa: ASYNC110 - the lease is another process's
            await asyncio.sleep(0.05)


@asynccontextmanager
async def working(bus: Bus, stage: Stage = Stage.VALIDATE, needed: int = 0) -> AsyncIterator[None]:
    """A worker that holds the device and reserves. A lease whose release met its own renewal runs out by itself."""
    async with AsyncExitStack() as stack:
        await take(bus, stack)
        await stack.enter_async_context(room(bus, CPU, job(stage), needed))
        yield


async def take(bus: Bus, stack: AsyncExitStack) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await stack.enter_async_context(bus.lease("device.cpu-0", "worker"))
            except LeaseHeld:
                await asyncio.sleep(0.1)
            else:
                return


async def events(bus: Bus, kind: type[M]) -> list[M]:
    found = [delivery.message for delivery in await bus.history(f"{PREFIX}.ops.cpu.>")]
    return [message for message in found if isinstance(message, kind)]


async def eventually(bus: Bus, kind: type[M], true: Callable[[M], bool] = lambda message: True) -> M:
    async with asyncio.timeout(20):
        while True:
            for message in await events(bus, kind):
                if true(message):
                    return message
            await asyncio.sleep(0.05)


def fill(manager: Line) -> list[int]:
    """Reserve a page, so that a chunk belongs to the engine; the chunk's number."""
    answer = manager.ask(Reserve(keys=KEYS[:1]))
    assert isinstance(answer, Handles)
    return [handle.chunk for handle in present(answer.handles)]


def all_of_it() -> int:
    """More than is free while the pool stands: what is free now and its four chunks, but for what others may take."""
    return make_owner("shm", "").free() + 64 * 2**30


async def test_without_a_pool_nothing_is_asked(bus: Bus) -> None:
    async with working(bus, needed=2**50):
        pass
    assert await events(bus, ReservationDecided) == []
