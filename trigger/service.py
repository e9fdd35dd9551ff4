"""Wiring: facts and tokens in, requests out. Everything that decides is in `run.py` and `reader.py`."""
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable

from common.background import background
from common.bus import Bus, Delivery
from common.logs import get_logger
from common.messages import PREFIX, AbortRequest, Fact, ForkRequest, StopRequest, TokenDelta, pattern
from common.settings import load
from trigger import run
from trigger.effects import Abort
from trigger.reader import Effect, Reader
from trigger.settings import TriggerSettings
from trigger.stream import Arrival

log = get_logger()
_UNKNOWN = run.RunState()
_REFETCHES, _REFETCH_SECONDS = 40, 0.05


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
        self._early: dict[str, TokenDelta] = {}
        self._reading = asyncio.Lock()

    async def read_facts(self, facts: AsyncIterable[Delivery]) -> None:
        """Fold every run's facts from the first one kept; ask for stops once the past is read."""
        async for delivery in facts:
            if isinstance(delivery.message, Fact):
                self._fold(delivery.message)
            if delivery.caught_up:
                await self._ask_for_stops()
                await self._read_early()

    def _fold(self, fact: Fact) -> None:
        state = run.step(self._runs.get(fact.run, _UNKNOWN), fact)
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
        """Tokens and facts come by different ways. Of an iteration that no fact has announced yet the last delta is
        kept: reading it fetches those before it."""
        async for delivery in tokens:
            delta = delivery.message
            if not isinstance(delta, TokenDelta):
                continue
            state = self._runs.get(delta.run, _UNKNOWN)
            if state.forks_from(delta.iteration):
                await self._read(delta)
            elif state.awaits(delta.iteration):
                self._early[delta.run] = delta

    async def _read_early(self) -> None:
        for name, delta in list(self._early.items()):
            state = self._runs.get(name, _UNKNOWN)
            if not state.awaits(delta.iteration):
                del self._early[name]
            if state.forks_from(delta.iteration):
                await self._read(delta)

    async def _read(self, delta: TokenDelta) -> None:
        async with self._reading:
            await self._read_in_turn(delta)

    async def _read_in_turn(self, delta: TokenDelta) -> None:
        reader = await self._reader(delta)
        arrival, effects = reader.read(delta)
        if arrival is Arrival.GAP:
            effects = await self._read_missing(reader, delta)
        for effect in effects:
            await self._ask(effect, reader, delta)

    async def _reader(self, delta: TokenDelta) -> Reader:
        """The iteration's reader; a new one knows what was asked for before a restart."""
        key = (delta.run, delta.iteration)
        if key not in self._readers:
            past = [d.message for d in await self._bus.history(pattern(ForkRequest, run=delta.run))]
            asked = [r.at_char for r in past if isinstance(r, ForkRequest) and r.iteration == delta.iteration]
            self._readers[key] = Reader(self._settings, asked)
        return self._readers[key]

    async def _read_missing(self, reader: Reader, delta: TokenDelta) -> list[Effect]:
        """Read what the stream holds, up to `delta`. A live message can arrive before the stream has stored those that
        went before it, so what is not there yet is waited for; what the stream has dropped is skipped."""
        effects: list[Effect] = []
        for _ in range(_REFETCHES):
            for delivery in await self._bus.history(delta.subject()):
                if isinstance(delivery.message, TokenDelta):
                    effects += self._read_stored(reader, delivery.message)
            arrival, found = reader.read(delta)
            if arrival is not Arrival.GAP:
                return effects + found
            await asyncio.sleep(_REFETCH_SECONDS)
        return effects + self._skip_to(reader, delta)

    def _read_stored(self, reader: Reader, delta: TokenDelta) -> list[Effect]:
        """The stream is in order: a gap in it will not close."""
        arrival, found = reader.read(delta)
        return self._skip_to(reader, delta) if arrival is Arrival.GAP else found

    def _skip_to(self, reader: Reader, delta: TokenDelta) -> list[Effect]:
        log.warning("tokens.lost", run=delta.run, iteration=delta.iteration, before=delta.seq)
        return reader.skip_to(delta)

    async def _ask(self, effect: Effect, reader: Reader, delta: TokenDelta) -> None:
        request = _request(effect, reader, delta, time.time())
        await self._bus.record(request)
        kind = "abort" if isinstance(effect, Abort) else "fork"
        log.info(f"{kind}.requested", run=delta.run, iteration=delta.iteration, reason=effect.reason, **effect.numbers)


def _request(effect: Effect, reader: Reader, delta: TokenDelta, at: float) -> ForkRequest | AbortRequest:
    if isinstance(effect, Abort):
        return AbortRequest(
            run=delta.run, iteration=delta.iteration, generation=delta.generation, at=at, reason=effect.reason,
            numbers=effect.numbers,
        )
    at_token, at_char = reader.stream.boundary(effect.at_char)
    return ForkRequest(
        run=delta.run, iteration=delta.iteration, generation=delta.generation, at=at, at_token=at_token,
        at_char=at_char, k=effect.k, reason=effect.reason, numbers=effect.numbers, draft=effect.draft,
    )
