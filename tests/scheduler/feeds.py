"""Runs of a light system for the length of a block."""
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.light.feed import Feed
from bench.light.system import LightSystem
from common.background import background


@asynccontextmanager
async def feed_of(system: LightSystem, run: str, **fields: Any) -> AsyncIterator[Feed]:
    """A run with an open iteration, which ends with the block."""
    feed = Feed(system.bus, run)
    await feed.start(**fields)
    await feed.open_iteration()
    async with background() as tasks:
        tasks.start(feed.take_results())
        yield feed
    await feed.end_iteration()
    await feed.end()
