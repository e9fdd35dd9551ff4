"""Room in a device's memory before a job goes there, and silence while it is timed, where a KV pool lives on it.

Without a pool nothing is asked and nothing changes.
"""
from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.bus import LEASES, Bus, Listener
from common.devices import Device
from common.logs import get_logger
from common.messages import Job, MemoryReserved, ReleaseMemory, ReserveMemory, Stage, pattern

log = get_logger()
_REPEAT_SECONDS = 0.25
_PATIENCE_SECONDS = 5.0
"""A pool that does not answer for so long is taken to be dying; its lease runs out soon."""


class NoRoom(Exception):
    """The pool could not make room in time: wait, or take another device."""


def pool_of(device: Device) -> str:
    """The pool whose memory a device's jobs need: a GPU's own, or the host's."""
    return "cpu" if device.kind == "cpu" else device.id


@asynccontextmanager
async def room(bus: Bus, device: Device, job: Job, needed: int, *, everything: bool = False) -> AsyncIterator[int]:
    """Hold `needed` bytes of the device for the block (0: what its pool leaves to a candidate), or `everything` that
    the pool has besides; the bytes it gave up of everything. NoRoom as it says."""
    pool = pool_of(device)
    if await bus.table(LEASES).get(f"kv.{pool}") is None:
        yield 0
        return
    request = ReserveMemory(
        device=pool, id=uuid.uuid4().hex, worker=bus.name, lease=f"device.{device.id}", bytes=needed,
        everything=everything, job=f"{job.stage}.{job.run}.{job.iteration}.{job.candidate}",
        quiet=job.stage is Stage.PROFILE, until=job.deadline,
    )
    try:
        yield (await _reserve(bus, request)).freed
    finally:
        await bus.emit(ReleaseMemory(device=pool, id=request.id))


async def _reserve(bus: Bus, request: ReserveMemory) -> MemoryReserved:
    """Ask until there is an answer, which is yes. NoRoom where it is no, or there is none."""
    end = time.monotonic() + _PATIENCE_SECONDS
    async with bus.listen(pattern(MemoryReserved, device=request.device)) as answers:
        while time.monotonic() < end:
            await bus.emit(request)
            try:
                answer = await asyncio.wait_for(_answer(answers, request.id), _REPEAT_SECONDS)
            except TimeoutError:
                continue
            if answer.granted:
                return answer
            log.info("memory.denied", device=request.device, job=request.job, reason=answer.reason)
            raise NoRoom(answer.reason)
    raise NoRoom("the pool does not answer")


async def _answer(answers: Listener, id: str) -> MemoryReserved:
    async for delivery in answers:
        if isinstance(delivery.message, MemoryReserved) and delivery.message.id == id:
            return delivery.message
    raise NoRoom("the line is closed")
