"""The service as a process on a real bus: reservations of workers, the events they leave, death and restart."""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from common.bus import LEASES, STATE, Bus, LeaseHeld, Server
from common.devices import Device
from common.messages import (
    PREFIX,
    Assignment,
    Job,
    Message,
    PoolAnnounced,
    PoolGrown,
    PoolReleased,
    PoolShrunk,
    ReservationDecided,
    ReservationEnded,
    Stage,
    TaskSource,
    TransfersPaused,
    TransfersResumed,
)
from common.worker.device import Devices
from common.worker.memory import NoRoom, room
from kvstore.handles import present
from kvstore.line import Line
from kvstore.memory import make_owner
from kvstore.wire import Handles, Offer, Pause, Quiet, Reserve, Revoke, Role, Unmapped
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

    def connect(self, role: Role, engine: str = "e") -> Line:
        return Line(self.sockets / "cpu.sock", hello(role, engine), timeout=10.0)


@pytest.fixture(scope="module")
def shared(nats_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(nats_server, tmp_path_factory.mktemp("kv"))
    try:
        yield process
    finally:
        process.end()


@pytest.fixture
async def process(bus: Bus, shared: Process) -> Process:
    """The service, whole again after the test before, and nothing on the record."""
    await whole(bus)
    await bus.purge(f"{PREFIX}.ops.>")
    return shared


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


async def test_a_pool_announces_itself(bus: Bus, process: Process) -> None:
    entry = await bus.table(STATE).get("kv.cpu")
    assert entry is not None
    announced = entry.decode(PoolAnnounced)
    assert (announced.device, announced.kind, announced.chunk_bytes) == ("cpu", "shm", MIB)
    assert Path(announced.socket) == process.sockets / "cpu.sock"


async def test_a_job_that_needs_little_starts_at_once(bus: Bus, process: Process) -> None:
    async with working(bus, needed=MIB):
        decided = await eventually(bus, ReservationDecided)
        assert decided.granted
        assert not decided.quiet
    ended = await eventually(bus, ReservationEnded)
    assert (ended.id, ended.expired) == (decided.id, False)
    assert await events(bus, PoolShrunk) == []


async def test_a_job_that_needs_everything_takes_the_pool_and_it_grows_back(bus: Bus, process: Process) -> None:
    """The host's memory is never all free, so the job is denied; the pool has shrunk to nothing all the same."""
    with pytest.raises(NoRoom, match="bytes free"):
        async with working(bus, needed=all_of_it()):
            pass
    shrunk = await eventually(bus, PoolShrunk)
    assert (shrunk.chunks, shrunk.bytes, shrunk.reason) == (4, 0, "reserved")
    assert (await eventually(bus, PoolReleased)).chunks == 4
    await eventually(bus, PoolGrown, lambda grown: grown.bytes == 4 * MIB)


async def test_a_peer_that_keeps_its_mapping_makes_the_job_wait_and_the_events_name_it(
    bus: Bus, process: Process
) -> None:
    manager, worker = process.connect("manager"), process.connect("worker")
    (chunk,) = fill(manager)
    assert isinstance(worker.receive()[0], Offer)
    with pytest.raises(NoRoom, match="e/worker-2 has not unmapped"):
        async with working(bus, needed=all_of_it()):
            pass
    assert worker.receive()[0] == Revoke(chunks=[chunk])
    decided = await eventually(bus, ReservationDecided, lambda decided: not decided.granted)
    assert "e/worker-2" in decided.reason
    announced = await eventually(bus, PoolAnnounced, lambda message: message.leaving == 1)
    assert announced.chunks == 0
    worker.send(Unmapped(chunks=[chunk]))
    released = await eventually(bus, PoolReleased, lambda released: released.at > decided.at)
    shrunk = await eventually(bus, PoolShrunk)
    assert (released.chunks, released.seconds) == (1, pytest.approx(released.at - shrunk.at))
    await eventually(bus, PoolGrown, lambda grown: grown.bytes == 4 * MIB)
    manager.close()
    worker.close()


async def test_a_timed_job_waits_until_no_peer_copies(bus: Bus, process: Process) -> None:
    worker = process.connect("worker")
    started = asyncio.Event()

    async def profile() -> None:
        async with working(bus, Stage.PROFILE):
            started.set()
            await asyncio.sleep(0.2)

    task = asyncio.create_task(profile())
    assert isinstance((await asyncio.to_thread(worker.receive))[0], Pause)
    assert not started.is_set()
    worker.send(Quiet())
    await task
    assert (await eventually(bus, TransfersPaused)).engines == 1
    await eventually(bus, TransfersResumed)
    worker.close()


async def test_a_peer_that_goes_on_copying_is_named(bus: Bus, process: Process) -> None:
    worker = process.connect("worker")
    with pytest.raises(NoRoom, match="still transfers"):
        async with working(bus, Stage.PROFILE):
            pass
    await eventually(bus, TransfersResumed)
    worker.close()


async def test_a_worker_that_lost_its_device_no_longer_holds_the_pool_down(bus: Bus, process: Process) -> None:
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as holding:
            await take(bus, holding)
            await stack.enter_async_context(room(bus, CPU, job(Stage.PROFILE), 0))
        assert (await eventually(bus, ReservationEnded)).expired
        await eventually(bus, TransfersResumed)


async def test_a_worker_takes_another_device_when_one_has_no_room(bus: Bus, process: Process) -> None:
    await bus.table(STATE).put("assignment", Assignment(epoch=1, roles={"cpu-0": (Stage.VALIDATE,)}))
    devices = Devices(bus, Stage.VALIDATE, (CPU,), 0.05)
    follower = asyncio.create_task(devices.follow_roles())
    async with devices.hold(job()) as (device, lease):
        assert device == CPU
        assert lease.revision
        assert (await eventually(bus, ReservationDecided)).granted
        assert await bus.table(LEASES).get("device.cpu-0") is not None
    await eventually(bus, ReservationEnded)
    assert await bus.table(LEASES).get("device.cpu-0") is None
    follower.cancel()


async def test_a_second_service_for_the_same_device_is_refused(nats_server: Server, process: Process) -> None:
    assert Process(nats_server, process.sockets).running.wait(20) == 2


async def test_a_killed_service_comes_back_with_other_chunks(bus: Bus, process: Process) -> None:
    manager, _worker = process.connect("manager"), process.connect("worker")
    before = fill(manager)
    process.end(signal.SIGKILL)
    process.start()
    await eventually(bus, PoolGrown)
    again, worker = process.connect("manager"), process.connect("worker")
    assert fill(again) != before
    async with working(bus, needed=MIB):
        pass
    again.close()
    worker.close()


async def test_it_ends_in_order(process: Process) -> None:
    worker = process.connect("worker", "late")
    assert process.end() == 0
    worker.close()
    process.start()
