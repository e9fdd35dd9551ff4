"""The log of a run is written under the run's lease."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.bus import Bus, LeaseLost
from common.messages import IterationStarted, Message
from generator.log import RunLog
from generator.state import RunState


class Away(Bus):
    """Its server is away: what is to be recorded is tried again and again."""

    def __init__(self) -> None:
        self.trying = asyncio.Event()

    async def record(self, message: Message, **_: Any) -> int:
        self.trying.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.trying.clear()
        return 0


async def test_a_fact_that_is_not_stored_yet_when_the_lease_is_lost_is_given_up() -> None:
    bus, lost = Away(), asyncio.Event()
    log = RunLog(bus, RunState("r"), lost)
    facts = [asyncio.create_task(log.record(IterationStarted, iteration=n, H=(), prompt="p")) for n in (1, 2)]
    async with asyncio.timeout(10):
        await bus.trying.wait()
        lost.set()
        for fact in facts:
            with pytest.raises(LeaseLost):
                await fact
    assert not bus.trying.is_set() and log.state.n == 0
