"""Tasks that need more memory than a KV pool leaves: their jobs take all of the device from the start. A worker that
finds one out tells the others."""
from __future__ import annotations

import time
from collections import OrderedDict

from common.bus import Bus
from common.devices import Device
from common.messages import TaskOutgrew, TaskSource, pattern
from common.worker.memory import pool_of

_MOST = 64
"""A worker lives for long; a task that is forgotten is found out again by its next job."""


class LargeTasks:
    """The last few, by their source."""

    def __init__(self, bus: Bus, most: int = _MOST) -> None:
        self._bus = bus
        self._most = most
        self._digests: OrderedDict[str, None] = OrderedDict()

    async def follow(self) -> None:
        """Hear of those that others find out."""
        async with self._bus.listen(pattern(TaskOutgrew)) as told:
            async for delivery in told:
                if isinstance(delivery.message, TaskOutgrew):
                    self.learn(delivery.message.digest)

    async def add(self, task: TaskSource, device: Device) -> None:
        self.learn(task.digest)
        await self._bus.emit(TaskOutgrew(
            device=pool_of(device), at=time.time(), worker=self._bus.name, task=task.name, digest=task.digest
        ))

    def __contains__(self, task: TaskSource) -> bool:
        return task.digest in self._digests

    def learn(self, digest: str) -> None:
        self._digests[digest] = None
        self._digests.move_to_end(digest)
        while len(self._digests) > self._most:
            self._digests.popitem(last=False)
