"""A run's log: numbers facts, writes them to the bus, and folds each into the state once it is stored."""
from __future__ import annotations

import asyncio
import time
from typing import Any

from common.bus import Bus, LeaseLost, record_patiently
from common.messages import PREFIX, Fact
from generator.accept import Draft
from generator.state import RunState
from generator.unless import Interrupted, unless


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
            try:  # while the stream is full the run waits for the operator
                await unless(self._lost, record_patiently(self._bus, fact, msg_id=f"{fact.run}.{fact.n}"))
            except Interrupted:
                raise LeaseLost(f"run {fact.run} is another generator's: fact {fact.n} is not written") from None
            self.state.apply(fact)
            return fact
