"""The worker's loop: pull the most urgent job, see it through, acknowledge it; drain on SIGTERM."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from common.background import background
from common.bus import Bus, Task, record_patiently
from common.devices import Device
from common.judge import Judge
from common.logs import get_logger
from common.messages import PREFIX, AttemptFailed, AttemptStarted, Job, Profile, Stage, Verdict
from common.worker.attempt import Attempt, AttemptFault
from common.worker.beat import Heart
from common.worker.cancel import Cancellations
from common.worker.device import Devices
from common.worker.settings import WorkerSettings

log = get_logger()
PRIORITIES = 3


async def work(
    bus: Bus, stop: asyncio.Event, stage: Stage, judge: Judge, devices: tuple[Device, ...], settings: WorkerSettings
) -> None:
    """Serve jobs of `stage` on `devices` until `stop` is set, then finish the job under way."""
    mine = tuple(device for device in devices if stage in device.stages)
    worker = Worker(bus, stage, judge, mine, settings)
    async with background() as tasks:
        for loop in worker.loops():
            tasks.start(loop)
        await worker.pull(stop)
        await worker.heart.stop("drained")


class Worker:
    def __init__(
        self, bus: Bus, stage: Stage, judge: Judge, devices: tuple[Device, ...], settings: WorkerSettings
    ) -> None:
        self._bus = bus
        self._stage = stage
        self._settings = settings
        self._cancellations = Cancellations(bus)
        needed = settings.device_memory_mib * 2**20
        self._devices = Devices(bus, stage, devices, settings.device_poll, needed)
        self._attempt = Attempt(bus, judge, self._devices, stage)
        self.heart = Heart(bus, stage, devices, settings.beat_seconds)

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs beside the jobs."""
        devices = self._devices
        return (
            self.heart.beat_forever(), devices.follow_roles(), devices.large.follow(), self._cancellations.follow()
        )

    async def pull(self, stop: asyncio.Event) -> None:
        patterns = [f"{PREFIX}.job.{self._stage}.p{p}.>" for p in range(PRIORITIES)]
        async with self._bus.work(patterns, durable=str(self._stage), ack_wait=self._settings.ack_wait) as queue:
            while not stop.is_set():
                task = await queue.next(timeout=1.0)
                if task is not None:
                    await self._see_through(task, stop)

    async def _see_through(self, task: Task, stop: asyncio.Event) -> None:
        """Handle one job. After SIGTERM it may take `drain_seconds` more, then it is handed back to the queue."""
        job = task.message
        assert isinstance(job, Job)
        handling = asyncio.create_task(self._handle(task, job))
        self._cancellations.register(handling, job)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({handling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        _, late = await asyncio.wait({handling}, timeout=self._settings.drain_seconds if stop.is_set() else None)
        handling.cancel()
        await asyncio.wait({handling})
        self.heart.working_on()
        if not handling.cancelled():
            handling.result()
        elif late:
            await task.retry()
            log.info("job.handed_back", job=identity(job))
        else:
            await task.done()
            log.info("job.cancelled", job=identity(job))

    async def _handle(self, task: Task, job: Job) -> None:
        taken_at = time.time()
        if reason := await self._needless(job):
            log.info("job.dropped", job=identity(job), reason=reason)
        elif task.delivery_count > self._settings.deliveries:
            await self._failed(job, AttemptFault(f"{task.delivery_count - 1} workers died with it", None))
        else:
            await self._work_on(job, task.delivery_count, taken_at)
        await task.done()

    async def _needless(self, job: Job) -> str | None:
        """Why a job needs no work (any more). A result of an earlier attempt was revoked, and its deadline is for the
        scheduler to keep: this host's clock may be wrong."""
        results = [d.message for d in await self._bus.history(f"{PREFIX}.res.{identity(job)}")]
        if any(isinstance(result, Verdict | Profile) and result.attempt >= job.attempt for result in results):
            return "its result exists"
        return "withdrawn" if await self._cancellations.withdrawn(job) else None

    async def _work_on(self, job: Job, delivery: int, taken_at: float) -> None:
        self.heart.working_on(identity(job))
        await record_patiently(self._bus, AttemptStarted(**_address(self._bus, job), delivery=delivery))
        try:
            judgement = await self._attempt.run(job, taken_at)
        except AttemptFault as fault:
            await self._failed(job, fault)
        else:
            log.info("job.judged", job=identity(job), attempt=job.attempt, outcome=judgement.outcome)

    async def _failed(self, job: Job, fault: AttemptFault) -> None:
        """The attempt is over without a result; the scheduler issues the next one."""
        log.warning("attempt.failed", job=identity(job), attempt=job.attempt, device=fault.device, reason=str(fault))
        await record_patiently(self._bus, AttemptFailed(
            **_address(self._bus, job), reason=str(fault), device=fault.device, quarantine=fault.quarantine,
        ))


def identity(job: Job) -> str:
    return f"{job.stage}.{job.run}.{job.iteration}.{job.candidate}"


def _address(bus: Bus, job: Job) -> dict[str, Any]:
    return {
        "worker": bus.name, "at": time.time(), "stage": job.stage, "run": job.run, "iteration": job.iteration,
        "candidate": job.candidate, "attempt": job.attempt,
    }
