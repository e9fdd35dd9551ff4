"""The I/O around the core: streams in, effects out."""
from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from common.background import background, first
from common.bus import Bus, Delivery, LeaseHeld
from common.bus.follow import Since
from common.logs import get_logger
from common.messages import PREFIX, Message
from common.settings import load
from scheduler.core import Scheduler
from scheduler.perform import Performer
from scheduler.settings import SchedulerSettings

log = get_logger()
OPS_REPLAY_SECONDS = 3600.0
"""How far back device facts are read after a restart: no attempt lasts so long."""
STANDBY_SECONDS = 1.0


async def serve(bus: Bus, stop: asyncio.Event) -> None:
    """One scheduler at a time: a second one stands by until the first one's lease is free."""
    while not stop.is_set():
        try:
            async with bus.lease("scheduler", bus.name) as lease:
                await Service(bus).run(stop, lease.lost)
        except LeaseHeld:
            await first(stop, timeout=STANDBY_SECONDS)


class Service:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._settings = load("scheduler", SchedulerSettings)
        self._core = Scheduler(self._settings)
        self._performer = Performer(bus)
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._news = asyncio.Event()

    async def run(self, stop: asyncio.Event, lost: asyncio.Event) -> None:
        """Replay what is stored, the facts of runs first (a result means nothing before its candidate), then live."""
        async with background() as tasks:
            recent = datetime.now(UTC) - timedelta(seconds=OPS_REPLAY_SECONDS)
            sources: tuple[tuple[str, Since], ...] = (("evt.>", "start"), ("res.>", "start"), ("ops.>", recent))
            for pattern, since in sources:
                caught_up = asyncio.Event()
                tasks.start(self._read(f"{PREFIX}.{pattern}", since, caught_up))
                await first(caught_up, stop)
                self._observe()
            self._core.adopt(await self._performer.queued(), time.time())
            log.info("scheduler.ready", requests=len(self._core.requests))
            tasks.start(self._reconcile())
            while not (stop.is_set() or lost.is_set()):
                await self._turn()
        if lost.is_set():
            log.warning("scheduler.replaced")

    async def _turn(self) -> None:
        """One round: fold what came, then do what follows."""
        self._observe()
        for effect in self._core.act(time.time()):
            await self._performer.perform(effect)
        self._news.clear()
        if self._inbox.empty():
            await first(self._news, timeout=self._settings.tick_seconds)

    def _observe(self) -> None:
        now = time.time()
        while not self._inbox.empty():
            self._core.observe(self._inbox.get_nowait(), now)

    async def _read(self, pattern: str, since: Since, caught_up: asyncio.Event) -> None:
        async with self._bus.follow(pattern, since=since) as feed:
            async for delivery in feed.past():
                self._arrived(delivery)
            caught_up.set()
            async for delivery in feed:
                self._arrived(delivery)

    def _arrived(self, delivery: Delivery) -> None:
        if delivery.message is not None:
            self._inbox.put_nowait(delivery.message)
            self._news.set()

    async def _reconcile(self) -> None:
        while True:
            await asyncio.sleep(self._settings.reconcile_seconds)
            queued = await self._performer.queued()
            self._core.lost(queued, time.time())
            self._news.set()
