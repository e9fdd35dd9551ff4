"""Generations are ended by whoever drives their iteration, however they take it."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common import background
from generator.generations import MAIN, Generations


async def _swallows_one_cancellation() -> None:
    """As `asyncio.wait_for` may before Python 3.12."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One generation that does not end when it is cancelled once."""
    monkeypatch.setattr(background, "AGAIN_SECONDS", 0.01)
    bus: Any = None
    found = Generations(bus, bus, bus, "r", 1, asyncio.Queue())
    found.running[MAIN] = bus
    found._tasks[MAIN] = asyncio.create_task(_swallows_one_cancellation())
    await asyncio.sleep(0)
    return found


async def test_all_are_ended(running: Generations) -> None:
    async with asyncio.timeout(10):
        assert len(await running.abort()) == 1


async def test_one_is_ended(running: Generations) -> None:
    async with asyncio.timeout(10):
        await running.abort_one(MAIN)
    assert running.running == {}
