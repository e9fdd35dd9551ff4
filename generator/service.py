"""Wiring: takes submitted runs and drives each under the run's lease; what it leaves open another generator goes on
with, from the run's log and journal."""
from __future__ import annotations

import asyncio

from common.background import Background, background, first
from common.bus import Bus, LeaseHeld, Task
from common.logs import get_logger
from common.messages import RunSubmitted, pattern
from common.settings import load
from generator.run import drive_run
from generator.settings import GeneratorSettings

log = get_logger()
HELD_RETRY_SECONDS = 2.0


async def serve(bus: Bus, stop: asyncio.Event) -> None:
    settings = load("generator", GeneratorSettings)
    submissions = bus.work([pattern(RunSubmitted)], durable="generator", ack_wait=settings.ack_wait)
    async with submissions as queue, background() as tasks:
        service = _Service(bus, settings, tasks)
        while not stop.is_set():
            await first(service.room, stop)
            if not stop.is_set():
                service.take(await queue.next(timeout=1.0))


class _Service:
    def __init__(self, bus: Bus, settings: GeneratorSettings, tasks: Background) -> None:
        self.room = asyncio.Event()
        """Set while another run may be taken."""
        self._driven = 0
        self._bus = bus
        self._settings = settings
        self._tasks = tasks
        self._driving(0)

    def take(self, task: Task | None) -> None:
        """Drive the run in the background; its place is free again at its end."""
        if task is not None:
            self._driving(+1)
            self._tasks.start(self._drive(task)).add_done_callback(lambda _: self._driving(-1))

    def _driving(self, more: int) -> None:
        self._driven += more
        if self._driven < self._settings.concurrent_runs:
            self.room.set()
        else:
            self.room.clear()

    async def _drive(self, task: Task) -> None:
        submitted = task.message
        assert isinstance(submitted, RunSubmitted)
        try:
            async with self._bus.lease(f"run.{submitted.run}", self._bus.name) as lease:
                lost = self._tasks.start(_give_up(lease.lost, asyncio.current_task(), task))
                await drive_run(self._bus, self._settings, submitted, lease.lost)
                lost.cancel()
                await task.done()
        except LeaseHeld as held:
            log.info("run.held", run=submitted.run, reason=str(held))
            await task.retry(HELD_RETRY_SECONDS)


async def _give_up(lost: asyncio.Event, driving: asyncio.Task[None] | None, task: Task) -> None:
    """Two generators must not write one log: without the lease this one stops at once, and gives the submission back.
    Otherwise it would be held for as long as this process lives, and nobody would go on with the run."""
    await lost.wait()
    log.warning("run.lease_lost", run=task.subject.rpartition(".")[2])
    if driving is not None:
        driving.cancel()
    await task.retry(HELD_RETRY_SECONDS)
