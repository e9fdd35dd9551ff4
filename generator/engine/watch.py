"""Publishes an engine's load while a run uses it."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from common.bus import Bus, StreamFull
from common.logs import get_logger
from common.messages import EngineMeasured
from generator.engine.metrics import Load, fetch

log = get_logger()


async def watch(
    bus: Bus, run: str, url: str, *, seconds: float, replica: str = "",
    seen: Callable[[Load | None], None] = lambda load: None,
) -> None:
    """Every change of the load, looked for every `seconds`, until cancelled. An engine that is away says nothing;
    what the bus has no room for is looked for again.

    `replica`: its name in what is published. `seen` is told every look, None where there was no answer.
    """
    last: Load | None = None
    async with aiohttp.ClientSession() as session:
        while True:
            load = await fetch(session, url)
            seen(load)
            if load is not None and load != last:
                try:
                    await bus.record(measured(run, load, time.time(), replica))
                    last = load
                except StreamFull as error:
                    log.warning("load.refused", url=url, reason=str(error))
            await asyncio.sleep(seconds)


def measured(run: str, load: Load, at: float, replica: str = "") -> EngineMeasured:
    return EngineMeasured(
        run=run, at=at, running=load.running, waiting=load.waiting, cache_usage=load.cache_usage,
        prefix_queries=load.prefix_queries, prefix_hits=load.prefix_hits, preemptions=load.preemptions,
        replica=replica,
    )
