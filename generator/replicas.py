"""The replicas of the engine a run generates on: which can be used, how loaded they are, where a generation goes.

With a single one there is nothing to choose: every generation goes there, and waits where it is away.
"""
from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from zlib import crc32

import msgspec

from common.bus import Bus, StreamFull
from common.logs import get_logger
from common.messages import Llm, Placement, PrefixLocated
from generator.engine.metrics import Load
from generator.engine.watch import watch
from generator.llm import Endpoint, EndpointProblem, Overloaded, Patience, Refused, StreamBroken, Unreachable
from generator.placement import PrefixCost, Replica, outlook, place
from generator.settings import GeneratorSettings

log = get_logger()
AWAY = (Unreachable, Overloaded, StreamBroken)
"""Problems of one replica that another need not have."""
_DOWN_SECONDS = 10.0
"""How long a replica that failed is passed over, unless it tells its load before."""
_LEARN_TOKENS = 1_000
"""Fewer computed tokens say little about what one costs: a step of the engine has a price of its own."""


@dataclass(eq=False)
class Site:
    """One replica."""

    endpoint: Endpoint
    ready: bool = False
    """Whether it was probed, and found to be like the others."""
    load: Load | None = None
    looked_at: float = 0.0
    down_until: float = 0.0
    own: list[float] = field(default_factory=list)
    """When each of the run's generations that are there began."""

    @property
    def url(self) -> str:
        return self.endpoint.url

    def saw(self, load: Load | None) -> None:
        """One that told its load before and does not answer now is down. Endpoints that never do are not asked here."""
        now = time.monotonic()
        if load is not None:
            self.load, self.looked_at, self.down_until = load, now, 0.0
        elif self.load is not None:
            self.down_until = now + _DOWN_SECONDS

    def wait_seconds(self, settings: GeneratorSettings) -> float:
        """From its load; the run's own generations that came after the last look count besides."""
        fresh = sum(self.load is None or since > self.looked_at for since in self.own)
        waiting, running = (self.load.waiting, self.load.running) if self.load else (0, 0)
        return waiting * settings.waiting_seconds + (running + fresh) * settings.running_seconds


@dataclass(frozen=True)
class Seat:
    """Where a generation goes; `placement` is None where there was no choice."""

    site: Site
    placement: Placement | None

    @property
    def endpoint(self) -> Endpoint:
        return self.site.endpoint


class Replicas:
    """Use as an async context manager; call `probe` first. Runs that start together see no load of each other yet, so
    each begins with another replica, by its name, where all are equal."""

    def __init__(self, llm: Llm, settings: GeneratorSettings, run: str = "") -> None:
        self._settings = settings
        self._cost = PrefixCost(
            load_seconds_per_token=settings.load_seconds_per_token,
            compute_seconds_per_token=settings.compute_seconds_per_token,
        )
        self._shown: float | None = None
        self._stack = AsyncExitStack()
        urls = (llm.url, *llm.replicas)
        away = settings.endpoint_seconds if len(urls) == 1 else settings.replica_seconds
        patience = Patience(away=away, idle=settings.idle_seconds, wait_max=5.0)
        key = os.environ.get(llm.api_key_env or "")
        first = crc32(run.encode()) % len(urls)
        self.sites = [
            Site(Endpoint(url, llm.model, api_key=key, patience=patience)) for url in (*urls[first:], *urls[:first])
        ]
        self.home: Site | None = None
        """Where the open iteration's reasoning is generated."""

    async def __aenter__(self) -> Replicas:
        for site in self.sites:
            await self._stack.enter_async_context(site.endpoint)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def several(self) -> bool:
        return len(self.sites) > 1

    def site(self, url: str) -> Site | None:
        """None where the run has no such replica (any more)."""
        return next((site for site in self.sites if site.url == url), None)

    @property
    def model(self) -> str:
        """As the first one that answered names it."""
        return next((site for site in self.sites if site.ready), self.sites[0]).endpoint.model

    # ---- finding out

    async def probe(self) -> None:
        """Returns as soon as one can be used. EndpointProblem where none can, or where one is unlike the others."""
        end = time.monotonic() + (self._settings.endpoint_seconds if self.several else 0.0)
        while True:
            away = [problem for site in self.sites if (problem := await self._probe(site))]
            if any(site.ready for site in self.sites):
                return
            if time.monotonic() >= end:
                raise away[0]

    async def _probe(self, site: Site) -> EndpointProblem | None:
        """What keeps it away, if anything does; every other problem is raised."""
        try:
            found = await site.endpoint.probe()
        except AWAY as problem:
            if self.several:
                log.warning("replica.away", url=site.url, reason=str(problem))
            return problem
        for other in (other.endpoint for other in self.sites if other.ready):
            known = other.capabilities
            if (found.model, found.mode) != (known.model, known.mode):
                raise Refused(
                    f"{site.url} serves {found.model} ({found.mode}) and {other.url} serves {known.model} "
                    f"({known.mode}): replicas must serve one model in one way"
                )
        site.ready = True
        return None

    async def look_after(self, bus: Bus, run: str) -> None:
        """Publish each one's load and where the prefix is, until cancelled; take in one that was away at first."""
        async with asyncio.TaskGroup() as group:
            for site in self.sites:
                group.create_task(self._look_after(bus, run, site))
            if self.several:
                group.create_task(self._locate(bus, run))

    async def _look_after(self, bus: Bus, run: str, site: Site) -> None:
        while not site.ready:
            await asyncio.sleep(self._settings.metrics_seconds)
            try:
                await self._probe(site)
            except EndpointProblem as problem:
                log.error("replica.refused", url=site.url, reason=str(problem))
                return
        if site.endpoint.capabilities.vllm:
            name = site.url if self.several else ""
            await watch(bus, run, site.url, seconds=self._settings.metrics_seconds, replica=name, seen=site.saw)

    async def _locate(self, bus: Bus, run: str) -> None:
        last: PrefixLocated | None = None
        while True:
            if self.home is not None:
                found = self._located(run, self.home)
                if last is None or msgspec.structs.replace(found, at=last.at) != last:
                    try:
                        await bus.record(found)
                        last = found
                    except StreamFull as error:
                        log.warning("prefix.refused", run=run, reason=str(error))
            await asyncio.sleep(self._settings.metrics_seconds)

    def _located(self, run: str, home: Site) -> PrefixLocated:
        looks = {replica.name: outlook(replica, home.url, self._cost) for replica in map(self._replica, self._up())}
        return PrefixLocated(run=run, at=time.time(), home=home.url, replicas=looks)

    # ---- choosing

    def place(self, tokens: int, *, home: Site | None = None, besides: Collection[Site] = ()) -> Seat | None:
        """Where a prefix of that length, computed at `home`, is gone on from soonest. None where all that can be used
        are among `besides`. Those that are down are taken where no other is left."""
        if not self.several:
            return Seat(self.sites[0], None)
        usable = [site for site in self._up() if site not in besides] or [
            site for site in self.sites if site.ready and site not in besides
        ]
        if not usable:
            return None
        chosen = place(home.url if home else None, tokens, [self._replica(site) for site in usable], self._cost)
        return Seat(next(site for site in usable if site.url == chosen.replica), chosen)

    def _up(self) -> list[Site]:
        now = time.monotonic()
        return [site for site in self.sites if site.ready and site.down_until <= now]

    def _replica(self, site: Site) -> Replica:
        wait = site.wait_seconds(self._settings)
        return Replica(name=site.url, wait_seconds=wait, shares_pool=self._settings.shared_pool)

    # ---- what generations tell

    @contextmanager
    def at(self, site: Site) -> Iterator[None]:
        """A generation runs there."""
        since = time.monotonic()
        site.own.append(since)
        try:
            yield
        finally:
            site.own.remove(since)

    def failed(self, site: Site) -> None:
        site.down_until = time.monotonic() + _DOWN_SECONDS

    def computed(self, tokens: int, seconds: float) -> None:
        """A prompt's tokens took so long to the first answered one. The least disturbed generation shows the cost."""
        if tokens >= _LEARN_TOKENS:
            self._shown = min(self._shown or float("inf"), seconds / tokens)
            self._cost = msgspec.structs.replace(self._cost, compute_seconds_per_token=self._shown)
