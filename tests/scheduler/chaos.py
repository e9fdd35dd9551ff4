"""Faults of every kind, one after the other, chosen by a seed."""
from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

from bench.light.feed import TASK
from bench.light.system import LightSystem
from common.bus import LEASES, BusError, StreamFull
from common.messages import PREFIX, Job, Message, Stage
from tests.scheduler.clocks import HOUR, Clock

HISTORIES = ("evt", "res", "ops", "cmd")


class Monkey:
    """`loose` does harm; `done` counts what was done, `log` tells it in order."""

    def __init__(self, system: LightSystem, clock: Clock, services: list[str], seed: str) -> None:
        self.log: list[str] = []
        self.done: Counter[str] = Counter()
        self._system = system
        self._clock = clock
        self._services = services
        self._random = random.Random(seed)
        self._faults: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("kill", self._kill), ("kill", self._kill), ("kill_server", self._kill_server), ("lease", self._lose_lease),
            ("fill", self._fill), ("duplicate", self._duplicate), ("duplicate", self._duplicate), ("clock", self._jump),
        ]

    async def loose(self, least: float, most: float, faults: int) -> None:
        """A fault every `least` to `most` seconds; each kind once before any comes again."""
        deck: list[tuple[str, Callable[[], Awaitable[str]]]] = []
        for _ in range(faults):
            await asyncio.sleep(self._random.uniform(least, most))
            if not deck:
                deck = self._random.sample(self._faults, len(self._faults))
            name, fault = deck.pop()
            try:
                what = await fault()
            except BusError as error:
                what = f"not done: {error}"
            self.done[name] += 1
            self.log.append(f"{name}: {what}")

    async def _kill(self) -> str:
        name = self._random.choice(self._services)
        process = self._system.supervisor.processes[name]
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        return name

    async def _kill_server(self) -> str:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._system.server.pid, signal.SIGKILL)
        return "the server"

    async def _lose_lease(self) -> str:
        """Somebody deletes a lease: its holder finds out when it renews or checks it."""
        table = self._system.bus.table(LEASES)
        keys = sorted(await table.keys())
        if not keys:
            return "there was none"
        key = self._random.choice(keys)
        await table.delete(key)
        return key

    async def _fill(self) -> str:
        """The job stream is full for a while."""
        with contextlib.suppress(StreamFull):
            for number in range(200):
                await self._system.bus.record(Job(
                    stage=Stage.VALIDATE, priority=7, run="junk", iteration=1, candidate=f"c{number}", attempt=1,
                    issued_at=0.0, requested_at=0.0, deadline=0.0, device="cpu", task=TASK, source="x" * 20_000,
                ))
        await asyncio.sleep(self._random.uniform(0.2, 1.0))
        return f"{await self._system.bus.purge(f'{PREFIX}.job.validate.p7.>')} jobs for a moment"

    async def _duplicate(self) -> str:
        """Old messages come again, out of order."""
        pattern = f"{PREFIX}.{self._random.choice(HISTORIES)}.>"
        stored: dict[str, list[Message]] = {}
        for delivery in await self._system.bus.history(pattern):
            if delivery.message is not None:
                stored.setdefault(type(delivery.message).__name__, []).append(delivery.message)
        kinds = sorted(stored)
        again = [self._random.choice(stored[kind]) for kind in self._random.sample(kinds, min(5, len(kinds)))]
        for message in again:
            await self._system.bus.record(message)
        return ", ".join(type(message).__name__ for message in again)

    async def _jump(self) -> str:
        seconds = self._random.choice([HOUR, -HOUR, 30.0, -30.0, 0.0])
        self._clock.set(seconds)
        return f"{seconds:+.0f} s"
