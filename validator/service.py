"""Wiring: the judge, the devices of this host, and the worker's loop."""
from __future__ import annotations

import asyncio
import os

from common.bus import Bus
from common.devices import DeviceSettings, discover, other_cores
from common.judge import Judge, JudgeSettings
from common.messages import Stage
from common.settings import load
from common.worker.pull import work
from validator.settings import ValidatorSettings


async def serve(bus: Bus, stop: asyncio.Event) -> None:
    settings = load("validator", ValidatorSettings)
    kind = load("devices", DeviceSettings)
    devices = discover(kind)
    # However it was started: whatever is not a measurement keeps off the cores that time kernels.
    os.sched_setaffinity(0, other_cores(kind))
    async with Judge(load("judge", JudgeSettings), kind.kind) as judge:
        await work(bus, stop, Stage.VALIDATE, judge, devices, settings)
