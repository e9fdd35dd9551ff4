"""The I/O around the core: streams in, effects out."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from common.background import background, first
from common.bus import Bus, Delivery, LeaseHeld, StreamFull, TooLarge
from common.bus.follow import Since
from common.logs import get_logger
from common.messages import PREFIX, Message, WorkerBeat, WorkerLeft
from common.settings import load
from scheduler.core import Scheduler
from scheduler.effects import Effect, Issue
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
        """Replay what is stored: the facts of runs first (nothing means anything before its candidate), then attempts
        (a result of a revoked one is stale), then results. After that, live."""
        async with background() as tasks:
            recent = datetime.now(UTC) - timedelta(seconds=OPS_REPLAY_SECONDS)
            sources: tuple[tuple[str, Since], ...] = (("evt.>", "start"), ("ops.>", recent), ("res.>", "start"))
            for pattern, since in sources:
                caught_up = asyncio.Event()
                tasks.start(self._read(f"{PREFIX}.{pattern}", since, caught_up))
                await first(caught_up, stop)
                self._observe()
            former = await self._performer.roles()
            self._core.adopt(await self._performer.queued(), former.roles, former.epoch, time.monotonic())
            log.info("scheduler.ready", requests=len(self._core.book.requests), epoch=former.epoch)
            tasks.start(self._reconcile())
            while not (stop.is_set() or lost.is_set()):
                await self._turn()
        if lost.is_set():
            log.warning("scheduler.replaced")

    async def _turn(self) -> None:
        """One round: fold what came, then do what follows. Shortly after news the roles are looked at once more."""
        soon = self._observe()
        await self._perform(self._core.act(time.monotonic()))
        self._news.clear()
        if self._inbox.empty():
            await first(self._news, timeout=self._settings.pool_seconds if soon else self._settings.tick_seconds)

    async def _perform(self, effects: Sequence[Effect]) -> None:
        """In order; jobs, which come last and do not depend on each other, at once."""
        for effect in effects:
            if not isinstance(effect, Issue):
                await self._try(effect)
        await asyncio.gather(*(self._try(effect) for effect in effects if isinstance(effect, Issue)))

    async def _try(self, effect: Effect) -> None:
        """What the bus does not take now is tried again; what it never will is given up. Neither ends the scheduler."""
        try:
            await self._performer.perform(effect)
        except (StreamFull, TooLarge) as error:
            log.warning("effect.refused", effect=type(effect).__name__, reason=str(error))
            self._core.refused(effect, str(error), time.monotonic(), for_good=isinstance(error, TooLarge))

    def _observe(self) -> int:
        """Fold what came; how much it was."""
        now, count = time.monotonic(), self._inbox.qsize()
        for _ in range(count):
            self._core.observe(self._inbox.get_nowait(), now)
        return count

    async def _read(self, pattern: str, since: Since, caught_up: asyncio.Event) -> None:
        """Workers of the past are none: those that live beat every second."""
        async with self._bus.follow(pattern, since=since) as feed:
            async for delivery in feed.past():
                if not isinstance(delivery.message, WorkerBeat | WorkerLeft):
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
            self._core.lost(await self._performer.queued(), time.monotonic())
            self._news.set()
