"""Cancellation: what was withdrawn before a worker took the job, and while it works on it."""
from __future__ import annotations

import asyncio

from common.bus import STATE, Bus
from common.messages import PREFIX, Cancel, Job


def concerns(cancel: Cancel, job: Job) -> bool:
    """Iterations of a run follow each other: a cancelled one takes those before it along."""
    if cancel.run != job.run:
        return False
    if cancel.candidate is None:
        return job.iteration <= cancel.iteration
    if (cancel.iteration, cancel.candidate) != (job.iteration, job.candidate):
        return False
    return cancel.attempt is None or job.attempt <= cancel.attempt


class Cancellations:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._running: dict[asyncio.Task[None], Job] = {}

    async def follow(self) -> None:
        async with self._bus.listen(f"{PREFIX}.ctl.cancel.*") as deliveries:
            async for delivery in deliveries:
                if isinstance(delivery.message, Cancel):
                    self._cancel(delivery.message)

    async def withdrawn(self, job: Job) -> bool:
        """Whether the job was withdrawn before it was taken."""
        entry = await self._bus.table(STATE).get(f"cancel.{job.run}")
        return entry is not None and concerns(entry.decode(Cancel), job)

    def register(self, task: asyncio.Task[None], job: Job) -> None:
        self._running[task] = job
        task.add_done_callback(lambda done: self._running.pop(done, None))

    def _cancel(self, cancel: Cancel) -> None:
        for task, job in self._running.items():
            if concerns(cancel, job):
                task.cancel()
