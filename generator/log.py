"""A run's log: numbers facts, writes them to the bus, and folds each into the state once it is stored."""
from __future__ import annotations

import asyncio
import time
from typing import Any

from common.bus import Bus, LeaseLost, StreamFull
from common.logs import get_logger
from common.messages import PREFIX, Fact
from generator.accept import Draft
from generator.cancelling import Interrupted, unless
from generator.state import RunState

log = get_logger()
FULL_WAIT = 1.0
"""Seconds between attempts while the stream is full: the run waits for the operator, it does not lose a fact."""


class RunLog:
    """`lost` is set when the run's lease is: from then on another generator writes this log."""

    def __init__(self, bus: Bus, state: RunState, lost: asyncio.Event | None = None) -> None:
        self.state = state
        self._bus = bus
        self._lost = lost or asyncio.Event()
        self._lock = asyncio.Lock()

    @classmethod
    async def load(cls, bus: Bus, run: str, lost: asyncio.Event | None = None) -> RunLog:
        """The log of `run` with everything stored so far folded."""
        state = RunState(run)
        for delivery in await bus.history(f"{PREFIX}.evt.{run}.>"):
            if isinstance(delivery.message, Fact):
                state.apply(delivery.message)
        return cls(bus, state, lost)

    async def record(self, kind: type[Fact], /, **fields: Any) -> Fact:
        """Write one fact and fold it. A caller's cancellation does not part the two: the fact's number is used up.
        LeaseLost, and nothing folded, where the lease is lost before it is stored."""
        return await asyncio.shield(asyncio.ensure_future(self._record(kind, fields)))

    async def draft(self, draft: Draft) -> Fact:
        return await self.record(draft.kind, **draft.fields)

    async def _record(self, kind: type[Fact], fields: dict[str, Any]) -> Fact:
        async with self._lock:
            fact = kind(run=self.state.run, n=self.state.n + 1, at=time.time(), **fields)
            try:
                await unless(self._lost, self._store(fact))
            except Interrupted:
                raise LeaseLost(f"run {fact.run} is another generator's: fact {fact.n} is not written") from None
            self.state.apply(fact)
            return fact

    async def _store(self, fact: Fact) -> None:
        """Tried again for as long as it takes."""
        while True:
            try:
                await self._bus.record(fact, msg_id=f"{fact.run}.{fact.n}")
                return
            except StreamFull as error:
                log.warning("log.waiting", run=fact.run, reason=str(error))
                await asyncio.sleep(FULL_WAIT)
