"""Following a run as it goes: its facts, the device facts and the pace of its tokens, into one tally."""
from __future__ import annotations

import asyncio
from collections.abc import Callable

from common.background import background
from common.bus import Bus
from common.messages import PREFIX, Fact, Message, RunEnded, RunStarted, TokenDelta
from common.report.tally import Tally


class Watch:
    """`tally` is None until the run has started."""

    def __init__(self, bus: Bus, run: str) -> None:
        self.tally: Tally | None = None
        self.streamed: dict[str, int] = {}
        """Tokens seen of each generation of the open iteration."""
        self._bus = bus
        self._run = run
        self._seen = 0
        self._ended = asyncio.Event()

    async def until_ended(self, on_event: Callable[[Message], None]) -> None:
        """Calls `on_event` after each event of the run is counted; returns when the run has ended."""
        async with background() as tasks:
            tasks.start(self._tokens())
            tasks.start(self._facts(on_event))
            await self._ended.wait()

    async def _facts(self, on_event: Callable[[Message], None]) -> None:
        async with self._bus.follow(f"{PREFIX}.evt.{self._run}.>") as feed:
            async for delivery in feed:
                fact = delivery.message
                if isinstance(fact, Fact) and fact.n > self._seen:
                    self._seen = fact.n
                    self._count(fact)
                    on_event(fact)
                if isinstance(fact, RunEnded):
                    self._ended.set()

    def _count(self, fact: Fact) -> None:
        if isinstance(fact, RunStarted):
            self.tally = Tally(fact)
        if self.tally is not None:
            self.tally.add(fact)

    async def _tokens(self) -> None:
        async with self._bus.listen(f"{PREFIX}.tok.{self._run}.>") as feed:
            async for delivery in feed:
                delta = delivery.message
                if isinstance(delta, TokenDelta):
                    tokens = len(delta.token_ids) if delta.token_ids is not None else len(delta.text) // 4
                    name = f"{delta.iteration}.{delta.generation}"
                    self.streamed[name] = self.streamed.get(name, 0) + tokens
