"""Device facts of a real system, gathered as they come."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from common.background import background
from common.bus import Bus
from common.messages import PREFIX, LeaseReleased, LeaseTaken, Message, Stage

M = TypeVar("M", bound=Message)


class Events:
    """What was stored under `ops.>` since the block began, in the order of the stream."""

    def __init__(self) -> None:
        self.all: list[Message] = []
        self._came = asyncio.Condition()

    async def read(self, bus: Bus, ready: asyncio.Event) -> None:
        async with bus.follow(f"{PREFIX}.ops.>", since="new") as feed:
            ready.set()
            async for delivery in feed:
                if delivery.message is not None:
                    async with self._came:
                        self.all.append(delivery.message)
                        self._came.notify_all()

    def of(self, kind: type[M], condition: Callable[[M], bool] = lambda _: True) -> list[M]:
        return [event for event in self.all if isinstance(event, kind) and condition(event)]

    async def until(
        self, kind: type[M], condition: Callable[[M], bool] = lambda _: True, *, count: int = 1, seconds: float = 40.0
    ) -> list[M]:
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.of(kind, condition)) >= count)
        return self.of(kind, condition)

    def taken(self, stage: Stage) -> list[tuple[str, str]]:
        """Runs and candidates in the order in which they got a device."""
        return [(e.run, e.candidate) for e in self.of(LeaseTaken, lambda e: e.stage is stage)]

    def holds(self) -> dict[str, list[tuple[LeaseTaken, LeaseReleased]]]:
        """Completed leases of each device, in order; AssertionError where two overlap."""
        found: dict[str, list[tuple[LeaseTaken, LeaseReleased]]] = {}
        held: dict[str, LeaseTaken] = {}
        for event in self.all:
            if isinstance(event, LeaseTaken):
                assert event.device not in held, f"{event.device} was taken twice"
                held[event.device] = event
            elif isinstance(event, LeaseReleased):
                taken = held.pop(event.device)
                assert taken.lease == event.lease
                found.setdefault(event.device, []).append((taken, event))
        return found


@asynccontextmanager
async def events_of(bus: Bus) -> AsyncIterator[Events]:
    events, ready = Events(), asyncio.Event()
    async with background() as tasks:
        tasks.start(events.read(bus, ready))
        await ready.wait()
        yield events
