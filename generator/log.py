"""A run's log: numbers facts, writes them to the bus, and folds each into the state once it is stored."""
from __future__ import annotations

import asyncio
import time
from typing import Any

from common.bus import Bus, StreamFull
from common.logs import get_logger
from common.messages import PREFIX, Fact
from generator.accept import Draft
from generator.state import RunState

log = get_logger()
FULL_WAIT = 1.0
"""Seconds between attempts while the stream is full: the run waits for the operator, it does not lose a fact."""


class RunLog:
    def __init__(self, bus: Bus, state: RunState) -> None:
        self.state = state
        self._bus = bus
        self._lock = asyncio.Lock()

    @classmethod
    async def load(cls, bus: Bus, run: str) -> RunLog:
        """The log of `run` with everything stored so far folded."""
        state = RunState(run)
        for delivery in await bus.history(f"{PREFIX}.evt.{run}.>"):
            if isinstance(delivery.message, Fact):
                state.apply(delivery.message)
        return cls(bus, state)

    async def record(self, kind: type[Fact], /, **fields: Any) -> Fact:
        """Write one fact and fold it. A caller's cancellation does not part the two: the fact's number is used up."""
        return await asyncio.shield(asyncio.ensure_future(self._record(kind, fields)))

    async def draft(self, draft: Draft) -> Fact:
        return await self.record(draft.kind, **draft.fields)

    async def _record(self, kind: type[Fact], fields: dict[str, Any]) -> Fact:
        async with self._lock:
            fact = kind(run=self.state.run, n=self.state.n + 1, at=time.time(), **fields)
            await self._store(fact)
            self.state.apply(fact)
            return fact

    async def _store(self, fact: Fact) -> None:
        while True:
            try:
                await self._bus.record(fact, msg_id=f"{fact.run}.{fact.n}")
                return
            except StreamFull as error:
                log.warning("log.waiting", run=fact.run, reason=str(error))
                await asyncio.sleep(FULL_WAIT)
