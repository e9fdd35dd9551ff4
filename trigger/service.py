"""Wiring: facts and tokens in, requests out. Everything that decides is in `run.py` and `reader.py`."""
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable

from common.background import background
from common.bus import Bus, Delivery
from common.logs import get_logger
from common.messages import PREFIX, Fact, ForkRequest, StopRequest, TokenDelta, pattern
from common.settings import load
from trigger import run
from trigger.effects import Fork
from trigger.reader import Reader
from trigger.settings import TriggerSettings
from trigger.stream import Arrival

log = get_logger()


async def serve(bus: Bus, stop: asyncio.Event) -> None:
    """Work until `stop` is set. A failure of either reader ends the service; its supervisor starts it again."""
    trigger = Trigger(bus, load("trigger", TriggerSettings))
    tokens, facts = bus.listen(pattern(TokenDelta, generation="main")), bus.follow(f"{PREFIX}.evt.>")
    async with tokens, facts, background() as tasks:
        await trigger.read_facts(facts.past())
        log.info("trigger.reading")
        tasks.start(trigger.read_facts(facts))
        tasks.start(trigger.read_tokens(tokens))
        await stop.wait()


class Trigger:
    """Holds nothing that a restart could lose: runs are folded from their facts, texts are refetched from the token
    stream, and what was asked for before is read back from its own requests."""

    def __init__(self, bus: Bus, settings: TriggerSettings) -> None:
        self._bus = bus
        self._settings = settings
        self._runs: dict[str, run.RunState] = {}
        self._readers: dict[tuple[str, int], Reader] = {}
        self._stopped: set[tuple[str, int]] = set()

    async def read_facts(self, facts: AsyncIterable[Delivery]) -> None:
        """Fold every run's facts from the first one kept; ask for stops once the past is read."""
        async for delivery in facts:
            if isinstance(delivery.message, Fact):
                self._fold(delivery.message)
            if delivery.caught_up:
                await self._ask_for_stops()

    def _fold(self, fact: Fact) -> None:
        state = run.step(self._runs.get(fact.run, run.RunState()), fact)
        self._runs[fact.run] = state
        for key in [key for key in self._readers if key[0] == fact.run and key[1] != state.iteration]:
            del self._readers[key]
        if state.ended:
            self._runs[fact.run] = run.RunState(n=state.n, ended=True)

    async def _ask_for_stops(self) -> None:
        for name, state in self._runs.items():
            wanted, iteration = state.wanted, state.iteration
            if wanted is None or iteration is None or (name, iteration) in self._stopped:
                continue
            self._stopped.add((name, iteration))
            request = StopRequest(
                run=name, iteration=iteration, at=time.time(), candidate=wanted.candidate, reason=wanted.reason,
                numbers=wanted.numbers,
            )
            await self._bus.record(request)
            log.info("stop.requested", run=name, iteration=iteration, candidate=wanted.candidate, **wanted.numbers)

    async def read_tokens(self, tokens: AsyncIterable[Delivery]) -> None:
        """Deltas of an iteration that no fact has announced yet are left aside: the gap they leave is refetched."""
        async for delivery in tokens:
            delta = delivery.message
            if isinstance(delta, TokenDelta) and self._worth_reading(delta):
                await self._read(delta)

    def _worth_reading(self, delta: TokenDelta) -> bool:
        state = self._runs.get(delta.run)
        return state is not None and state.forks_from(delta.iteration)

    async def _read(self, delta: TokenDelta) -> None:
        reader = await self._reader(delta)
        arrival, forks = reader.read(delta)
        if arrival is Arrival.GAP:
            forks = await self._read_missing(reader, delta)
        for fork in forks:
            await self._ask_for_fork(fork, reader, delta)

    async def _reader(self, delta: TokenDelta) -> Reader:
        """The iteration's reader; a new one knows what was asked for before a restart."""
        key = (delta.run, delta.iteration)
        if key not in self._readers:
            past = [d.message for d in await self._bus.history(pattern(ForkRequest, run=delta.run))]
            asked = [r.at_char for r in past if isinstance(r, ForkRequest) and r.iteration == delta.iteration]
            self._readers[key] = Reader(self._settings, asked)
        return self._readers[key]

    async def _read_missing(self, reader: Reader, delta: TokenDelta) -> list[Fork]:
        """Read what the stream still holds; what it no longer holds is skipped."""
        forks: list[Fork] = []
        for delivery in await self._bus.history(delta.subject()):
            if isinstance(delivery.message, TokenDelta):
                forks += reader.read(delivery.message)[1]
        arrival, found = reader.read(delta)
        if arrival is Arrival.GAP:
            log.warning("tokens.lost", run=delta.run, iteration=delta.iteration, before=delta.seq)
            found = reader.skip_to(delta)
        return forks + found

    async def _ask_for_fork(self, fork: Fork, reader: Reader, delta: TokenDelta) -> None:
        at_token, at_char = reader.stream.boundary(fork.at_char)
        request = ForkRequest(
            run=delta.run, iteration=delta.iteration, generation=delta.generation, at=time.time(),
            at_token=at_token, at_char=at_char, k=fork.k, reason=fork.reason,
            numbers=fork.numbers, draft=fork.draft,
        )
        await self._bus.record(request)
        log.info("fork.requested", run=delta.run, iteration=delta.iteration, at_char=fork.at_char, reason=fork.reason)
