"""One attempt at one job: compile without a device, then judge on one, then publish what was found."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping

import msgspec

from common.bus import Bus, LeaseLost, record_patiently
from common.devices import Device
from common.judge import Artefact, Judge, JudgeFault
from common.logs import get_logger
from common.messages import Job, Judgement, Profile, Stage, Verdict
from common.worker.device import Devices
from common.worker.memory import NoRoom, room

log = get_logger()


class AttemptFault(Exception):
    """The attempt failed through no fault of the candidate, on `device` where it had got so far."""

    def __init__(self, reason: str, device: str | None, *, quarantine: bool = False) -> None:
        super().__init__(reason)
        self.device = device
        self.quarantine = quarantine


def with_compiling(judgement: Judgement, artefact: Artefact) -> Judgement:
    """The device's answer with the seconds of what went before, step by step."""
    return msgspec.structs.replace(judgement, seconds=added(artefact.seconds, judgement.seconds))


def added(*taken: Mapping[str, float]) -> dict[str, float]:
    """Seconds by step."""
    return {step: sum(one.get(step, 0.0) for one in taken) for steps in taken for step in steps}


def answered(first: Judgement | JudgeFault) -> Judgement:
    """What it was; JudgeFault as it says."""
    if isinstance(first, JudgeFault):
        raise first
    return first


class Attempt:
    def __init__(self, bus: Bus, judge: Judge, devices: Devices, stage: Stage) -> None:
        self._bus = bus
        self._judge = judge
        self._devices = devices
        self._stage = stage
        self._result = Verdict if stage is Stage.VALIDATE else Profile

    async def run(self, job: Job, taken_at: float) -> Judgement:
        """Judge and publish. Raises AttemptFault."""
        try:
            compiled = await self._judge.compile(job.task, job.source)
        except JudgeFault as fault:
            raise AttemptFault(str(fault), None) from fault
        if isinstance(compiled, Judgement):
            await self._publish(job, compiled, taken_at, None, None)
            return compiled
        async with self._devices.hold(job) as (device, lease):
            try:
                judgement = await self._with_room(job, compiled, device, lease.lost)
                await lease.check()
            except JudgeFault as fault:
                raise AttemptFault(str(fault), device.id, quarantine=fault.quarantine) from fault
            except LeaseLost as fault:
                raise AttemptFault(str(fault), None) from fault
            except NoRoom as denied:
                raise AttemptFault(f"short of memory, and the pool keeps its own: {denied}", device.id) from denied
        judgement = with_compiling(judgement, compiled)
        await self._publish(job, judgement, taken_at, device.id, lease.revision)
        return judgement

    async def _with_room(self, job: Job, artefact: Artefact, device: Device, lost: asyncio.Event) -> Judgement:
        """The judge's answer. One that was short of memory beside a pool is asked for again without the pool, and does
        not count: it would depend on how much was lent. NoRoom where the pool does not give up what it has."""
        first = await self._tried(job, artefact, device, lost)
        if not first.short_of_memory:
            return answered(first)
        try:
            async with room(self._bus, device, job, 0, everything=True) as freed:
                if not freed:
                    return answered(first)
                log.info("memory.short", device=device.id, task=job.task.name, freed=freed)
                second = await self._on_device(job, artefact, device, lost)
        except NoRoom:
            await self._devices.large.add(job.task, device)
            raise
        if not second.short_of_memory:
            await self._devices.large.add(job.task, device)
        taken = first.seconds if isinstance(first, Judgement) else {}
        return msgspec.structs.replace(second, seconds=added(taken, second.seconds))

    async def _tried(self, job: Job, artefact: Artefact, device: Device, lost: asyncio.Event) -> Judgement | JudgeFault:
        """The judge's answer, or its fault where that was for want of memory."""
        try:
            return await self._on_device(job, artefact, device, lost)
        except JudgeFault as fault:
            if fault.quarantine or not fault.short_of_memory:
                raise
            return fault

    async def _on_device(self, job: Job, artefact: Artefact, device: Device, lost: asyncio.Event) -> Judgement:
        """The judge's step, given up the moment the lease is lost."""
        step = asyncio.ensure_future(self._step(job, artefact, device))
        watch = asyncio.ensure_future(lost.wait())
        try:
            await asyncio.wait({step, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise LeaseLost(f"the lease on {device.id} was lost: what was measured does not count")
            return step.result()
        finally:
            watch.cancel()
            step.cancel()
            await asyncio.gather(step, watch, return_exceptions=True)

    def _step(self, job: Job, artefact: Artefact, device: Device) -> Awaitable[Judgement]:
        if self._stage is Stage.VALIDATE:
            return self._judge.validate(job.task, artefact, device)
        return self._judge.profile(job.task, artefact, device, bar=job.bar)

    async def _publish(
        self, job: Job, judgement: Judgement, taken_at: float, device: str | None, lease: int | None
    ) -> None:
        await record_patiently(self._bus, self._result(
            run=job.run, iteration=job.iteration, candidate=job.candidate, attempt=job.attempt, at=time.time(),
            worker=self._bus.name, device=device, lease=lease, queue_seconds=max(0.0, taken_at - job.requested_at),
            judgement=judgement,
        ))
