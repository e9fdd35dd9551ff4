"""Wiring: facts, tokens and heartbeats in, requests out. `run.py` decides on stops, `decide.py` on forks."""
from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterable

import msgspec

from common.background import background
from common.bus import Bus, Delivery
from common.logs import get_logger
from common.messages import PREFIX, Fact, ForkRequest, Outlook, PrefixLocated, RunStarted, TokenDelta, pattern
from common.settings import load
from trigger import fetch, run, stop
from trigger.capacity import Capacity
from trigger.decide import decide
from trigger.effects import Abort, Fork
from trigger.ledger import Ledger
from trigger.outbox import Outbox
from trigger.policy import ForkState
from trigger.reader import Reader
from trigger.requests import abort_request, fork_request, stop_request
from trigger.settings import TriggerSettings
from trigger.signals import Signal
from trigger.situation import Situation

log = get_logger()
_UNKNOWN = run.RunState()


async def serve(bus: Bus, end: asyncio.Event) -> None:
    """Work until `end` is set. A failure of any reader ends the service; its supervisor starts it again."""
    trigger = Trigger(bus, load("trigger", TriggerSettings))
    tokens, facts = bus.listen(pattern(TokenDelta, generation="main")), bus.follow(f"{PREFIX}.evt.>")
    workers = bus.follow(f"{PREFIX}.ops.*.worker.*", since="last")
    prefixes = bus.follow(pattern(PrefixLocated), since="last")
    async with tokens, facts, workers, prefixes, background() as tasks:
        await trigger.read_facts(facts.past())
        await trigger.read_prefixes(prefixes.past())
        log.info("trigger.reading")
        tasks.start(trigger.read_workers(workers))
        tasks.start(trigger.read_prefixes(prefixes))
        tasks.start(trigger.read_facts(facts))
        tasks.start(trigger.read_tokens(tokens))
        tasks.start(trigger.outbox.keep_trying())
        await end.wait()


class _Reading(msgspec.Struct):
    """The main generation of an open iteration."""

    reader: Reader
    forks: ForkState


class Trigger:
    """Holds nothing that a restart could lose: runs are folded from their facts, texts are refetched from the token
    stream, and what was asked for before is read back from its own requests."""

    def __init__(self, bus: Bus, settings: TriggerSettings) -> None:
        self._bus = bus
        self.outbox = Outbox(bus, lambda request: self._runs.get(request.run, _UNKNOWN).iteration == request.iteration)
        self._settings = settings
        self._capacity = Capacity()
        self._runs: dict[str, run.RunState] = {}
        self._replicas: dict[str, dict[str, Outlook]] = {}
        self._ledgers: defaultdict[str, Ledger] = defaultdict(Ledger)
        self._readings: dict[tuple[str, int], _Reading] = {}
        self._stopped: set[tuple[str, int]] = set()
        self._early: dict[str, TokenDelta] = {}
        self._in_turn = asyncio.Lock()

    async def read_workers(self, workers: AsyncIterable[Delivery]) -> None:
        async for delivery in workers:
            if delivery.message is not None:
                self._capacity.fold(delivery.message)

    async def read_prefixes(self, prefixes: AsyncIterable[Delivery]) -> None:
        """What a fork's prefix costs at each replica, for runs that have several."""
        async for delivery in prefixes:
            located = delivery.message
            if isinstance(located, PrefixLocated) and not self._runs.get(located.run, _UNKNOWN).ended:
                self._replicas[located.run] = located.replicas

    async def read_facts(self, facts: AsyncIterable[Delivery]) -> None:
        """Fold every run's facts from the first one kept; ask for stops once the past is read."""
        async for delivery in facts:
            if isinstance(delivery.message, Fact):
                self._fold(delivery.message)
            if delivery.caught_up:
                await self._ask_for_stops()
                await self._read_early()

    def _fold(self, fact: Fact) -> None:
        before = self._runs.get(fact.run, _UNKNOWN)
        state = self._runs[fact.run] = run.step(before, fact)
        if state.n > before.n:
            self._ledgers[fact.run].fold(fact)
        if isinstance(fact, RunStarted) and fact.stop not in stop.POLICIES:
            log.error("stop.unknown", run=fact.run, policy=fact.stop, known=sorted(stop.POLICIES))
        for key in [key for key in self._readings if key[0] == fact.run and key[1] != state.iteration]:
            del self._readings[key]
        if state.ended:
            self._runs[fact.run] = run.RunState(n=state.n, ended=True)
            self._ledgers.pop(fact.run, None)
            self._replicas.pop(fact.run, None)

    async def _ask_for_stops(self) -> None:
        for name, state in self._runs.items():
            wanted, iteration = state.wanted, state.iteration
            if wanted is None or iteration is None or (name, iteration) in self._stopped:
                continue
            self._stopped.add((name, iteration))
            if await self.outbox.send(stop_request(wanted, name, iteration, time.time())):
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
        async with self._in_turn:
            reading = await self._reading(delta)
            for signal in await fetch.read(self._bus, reading.reader, delta):
                await self._decide(reading, signal, delta)

    async def _reading(self, delta: TokenDelta) -> _Reading:
        """A new one knows what was asked for before a restart."""
        key = (delta.run, delta.iteration)
        if key not in self._readings:
            past = [d.message for d in await self._bus.history(pattern(ForkRequest, run=delta.run))]
            asked = [r for r in past if isinstance(r, ForkRequest) and r.iteration == delta.iteration]
            spent = sum(r.k for r in asked if r.draft is None)
            self._readings[key] = _Reading(Reader(), ForkState(tuple(r.at_char for r in asked), spent))
        return self._readings[key]

    async def _decide(self, reading: _Reading, signal: Signal, delta: TokenDelta) -> None:
        situation = self._situation(reading.reader, signal, delta.run)
        reading.forks, effects = decide(self._settings, reading.forks, signal, situation)
        for effect in effects:
            await self._ask(effect, reading.reader, delta)

    def _situation(self, reader: Reader, signal: Signal, name: str) -> Situation:
        return self._ledgers[name].situation(
            rate=reader.rate(), places=self._capacity.places(time.time()), behind=reader.end - signal.seen,
            waiting=sum(ledger.waiting for ledger in self._ledgers.values()), replicas=self._replicas.get(name),
        )

    async def _ask(self, effect: Fork | Abort, reader: Reader, delta: TokenDelta) -> None:
        where = {"run": delta.run, "iteration": delta.iteration, "reason": effect.reason}
        if isinstance(effect, Abort):
            if await self.outbox.send(abort_request(effect, delta, time.time())):
                log.warning("abort.requested", **where, **effect.numbers)
        elif await self.outbox.send(fork_request(effect, reader.stream, delta, time.time())):
            log.info("fork.requested", **where, k=effect.k, at_char=effect.at_char, **effect.numbers)
