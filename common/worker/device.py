"""Holding a device: a lease on one whose role is this stage, told to everybody when taken and released."""
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from common.bus import FULL_WAIT, STATE, Bus, Lease, LeaseHeld, StreamFull
from common.devices import Device
from common.logs import get_logger
from common.messages import Assignment, Job, LeaseReleased, LeaseTaken, Stage
from common.worker.large import LargeTasks
from common.worker.memory import NoRoom, room

log = get_logger()


class Devices:
    """The devices of this host as one stage sees them."""

    def __init__(
        self, bus: Bus, stage: Stage, devices: tuple[Device, ...], poll: float, needed: int = 0
    ) -> None:
        """`needed`: bytes of device memory a job may use; see `memory.py`."""
        self._bus = bus
        self._stage = stage
        self._devices = devices
        self._poll = poll
        self._needed = needed
        self._roles: dict[str, tuple[Stage, ...]] = {}
        self.large = LargeTasks(bus)

    async def follow_roles(self) -> None:
        """Keep the roles up to date; a device the scheduler has not named serves nothing."""
        async with self._bus.table(STATE).watch("assignment") as entries:
            async for entry in entries:
                self._roles = entry.decode(Assignment).roles

    @asynccontextmanager
    async def hold(self, job: Job) -> AsyncIterator[tuple[Device, Lease]]:
        """Wait for a device and hold it for the block. The lease's `lost` event is set where it expired meanwhile."""
        async with AsyncExitStack() as stack:
            device, lease = await self._take(job, stack)
            since, reason = time.monotonic(), "failed"
            await self._tell_taken(device, lease, job)
            try:
                yield device, lease
                reason = "done"
            except asyncio.CancelledError:
                reason = "cancelled"
                raise
            finally:
                await self._tell_released(device, lease, time.monotonic() - since, reason)

    async def _take(self, job: Job, stack: AsyncExitStack) -> tuple[Device, Lease]:
        while True:
            for device in self._devices:
                if device.kind == job.device and self._stage in self._roles.get(device.id, ()):
                    try:
                        return device, await self._take_one(device, job, stack)
                    except (LeaseHeld, NoRoom):
                        continue
                    except StreamFull as error:
                        log.warning("device.waiting", device=device.id, reason=str(error))
                        await asyncio.sleep(FULL_WAIT)
            await asyncio.sleep(self._poll)

    async def _take_one(self, device: Device, job: Job, stack: AsyncExitStack) -> Lease:
        """The device's lease, then room in its memory; neither is kept where the second cannot be had."""
        async with AsyncExitStack() as attempt:
            lease = await attempt.enter_async_context(self._bus.lease(f"device.{device.id}", self._bus.name))
            everything = job.task in self.large
            await attempt.enter_async_context(room(self._bus, device, job, self._needed, everything=everything))
            stack.push_async_exit(attempt.pop_all())
            return lease

    async def _tell_taken(self, device: Device, lease: Lease, job: Job) -> None:
        await self._bus.emit(LeaseTaken(
            device=device.id, worker=self._bus.name, at=time.time(), stage=self._stage, lease=lease.revision,
            run=job.run, iteration=job.iteration, candidate=job.candidate,
        ))

    async def _tell_released(self, device: Device, lease: Lease, seconds: float, reason: str) -> None:
        await self._bus.emit(LeaseReleased(
            device=device.id, worker=self._bus.name, at=time.time(), stage=self._stage, lease=lease.revision,
            seconds=seconds, reason="lost" if lease.lost.is_set() else reason,
        ))
