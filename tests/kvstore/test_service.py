"""The service as a process on a real bus: reservations of workers, the events they leave, death and restart."""
from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from common.bus import LEASES, STATE, Bus, Server
from common.messages import (
    Assignment,
    PoolAnnounced,
    PoolGrown,
    PoolReleased,
    PoolShrunk,
    ReservationDecided,
    ReservationEnded,
    Stage,
    TransfersPaused,
    TransfersResumed,
)
from common.worker.device import Devices
from common.worker.memory import NoRoom, room
from kvstore.wire import Offer, Pause, Quiet, Revoke, Unmapped
from tests.kvstore.process import CPU, MIB, Process, all_of_it, events, eventually, fill, job, take, working


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
