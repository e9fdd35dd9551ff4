"""The heartbeat: says every second, and at each change, what a worker can do and what it does."""
from __future__ import annotations

import asyncio
import time

from common.background import first
from common.bus import Bus
from common.devices import Device
from common.messages import Stage, WorkerBeat, WorkerLeft


class Heart:
    def __init__(self, bus: Bus, stage: Stage, devices: tuple[Device, ...], seconds: float) -> None:
        self._bus = bus
        self._stage = stage
        self._devices = {device.id: device.stages for device in devices}
        self._seconds = seconds
        self._jobs: tuple[str, ...] = ()
        self._change = asyncio.Event()

    async def beat_forever(self) -> None:
        while True:
            self._change.clear()
            await self._bus.emit(WorkerBeat(
                worker=self._bus.name, at=time.time(), stage=self._stage, devices=self._devices, slots=1,
                jobs=self._jobs,
            ))
            await first(self._change, timeout=self._seconds)

    def working_on(self, *jobs: str) -> None:
        self._jobs = jobs
        self._change.set()

    async def stop(self, reason: str) -> None:
        await self._bus.record(WorkerLeft(worker=self._bus.name, at=time.time(), stage=self._stage, reason=reason))
