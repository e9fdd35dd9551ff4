"""Wiring: the judge, the devices of this host, and the worker's loop."""
from __future__ import annotations

import asyncio

from common.bus import Bus
from common.devices import DeviceSettings, discover
from common.judge import Judge, JudgeSettings
from common.messages import Stage
from common.settings import load
from common.worker.pull import work
from profiler.settings import ProfilerSettings


async def serve(bus: Bus, stop: asyncio.Event) -> None:
    settings = load("profiler", ProfilerSettings)
    kind = load("devices", DeviceSettings)
    async with Judge(load("judge", JudgeSettings), kind.kind) as judge:
        await work(bus, stop, Stage.PROFILE, judge, discover(kind), settings)
