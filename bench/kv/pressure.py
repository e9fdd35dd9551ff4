"""Reasonings and their forks on replicas with little memory, in virtual time. Pure.

Each reasoning streams on its home replica and is preempted (the youngest first) where the replica's cache cannot hold
all of them; a fork goes where `generator.placement` sends it. It shares its prefix with the reasoning; its own tokens
take room of their own, no tier stores them, and they are gone when it ends or is preempted. Whoever lacks a prefix
loads what a tier has of it and computes the rest; computing stalls every stream of the replica, loading only the one
that waits.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.kv.chains import Chains
from bench.kv.costs import Costs
from generator.placement import PrefixCost, Replica, place

Tier = Literal["none", "host", "ours"]
STEP = 0.1
"""Seconds of virtual time a step."""


@dataclass(frozen=True)
class Reasoning:
    name: str
    prompt: int
    tokens: int
    forks: tuple[tuple[int, int], ...]
    """(tokens of the reasoning, tokens of the answer) of each fork."""


@dataclass
class Stream:
    """A reasoning or a fork on a replica."""

    chain: str
    """A reasoning's own; for a fork the one that its prefix is part of."""
    prefix: int
    """Tokens it starts from."""
    tokens: int
    began: float
    main: Reasoning | None = None
    own: str = ""
    """A fork's chain for the tokens that it generates."""
    done: float = 0.0
    ready_at: float = 0.0
    forked: int = 0

    @property
    def length(self) -> int:
        return self.prefix + int(self.done)

    @property
    def shared(self) -> int:
        """Tokens of `chain` that it stands on."""
        return self.prefix if self.own else self.length

    def holds(self) -> frozenset[str]:
        return frozenset(filter(None, (self.chain, self.own)))


@dataclass
class Site:
    """One replica. `store` is its tier, shared or its own."""

    name: str
    cache: Chains
    store: Chains | None
    streams: list[Stream] = field(default_factory=list)
    waiting: list[Stream] = field(default_factory=list)
    busy_until: float = 0.0

    def pinned(self) -> frozenset[str]:
        return frozenset().union(*(stream.holds() for stream in self.streams))

    def fits(self, stream: Stream) -> bool:
        """Room for all its tokens, at the cost of what no stream stands on."""
        pinned = self.pinned() | stream.holds()
        if not self.cache.put(stream.chain, stream.shared, pinned):
            return False
        return not stream.own or self.cache.put(stream.own, stream.length - stream.shared, pinned)

    def leaves(self, stream: Stream) -> None:
        """What a fork generated is of no use to others."""
        self.streams.remove(stream)
        self.cache.drop(stream.own)


@dataclass
class Outcome:
    prefix_tokens: int = 0
    computed: int = 0
    loaded: int = 0
    preempted: int = 0
    seconds: float = 0.0
    fork_seconds: list[float] = field(default_factory=list)

    @property
    def recomputed_share(self) -> float:
        return self.computed / max(1, self.prefix_tokens)


class Simulation:
    def __init__(
        self, reasonings: Sequence[Reasoning], costs: Costs, tier: Tier, *, replicas: int, budget: int, tier_budget: int
    ) -> None:
        self._costs = costs
        self._tier = tier
        shared = Chains(tier_budget) if tier == "ours" else None
        own = tier_budget // replicas
        self._sites = [
            Site(f"r{n}", Chains(budget), shared or (Chains(own) if tier == "host" else None)) for n in range(replicas)
        ]
        self._bytes_s = costs.pool_bytes_s if tier == "ours" else costs.host_bytes_s
        self._now = 0.0
        self._known: set[str] = set()
        self._homes: dict[str, str] = {}
        self.outcome = Outcome()
        for n, reasoning in enumerate(reasonings):
            home = self._sites[n % replicas]
            self._homes[reasoning.name] = home.name
            home.waiting.append(Stream(reasoning.name, reasoning.prompt, reasoning.tokens, 0.0, main=reasoning))

    def run(self) -> Outcome:
        """Until every reasoning and fork has ended. RuntimeError where something can never start."""
        while any(site.streams or site.waiting for site in self._sites):
            before = [len(site.streams) + len(site.waiting) for site in self._sites]
            for site in self._sites:
                self._admit(site)
                self._advance(site)
            self._now += STEP
            if not any(site.streams for site in self._sites) and before == [len(s.waiting) for s in self._sites]:
                raise RuntimeError("a prefix is longer than a replica's whole cache")
        self.outcome.seconds = self._now
        return self.outcome

    def _admit(self, site: Site) -> None:
        for stream in list(site.waiting):
            held = min(site.cache.held(stream.chain), stream.shared)
            if not site.fits(stream):
                return
            site.waiting.remove(stream)
            site.streams.append(stream)
            self._start(site, stream, held)

    def _start(self, site: Site, stream: Stream, held: int) -> None:
        """Pay for the prefix. The first time a prompt is seen it must be computed: that is no recomputation."""
        length = stream.length
        stored = site.store.held(stream.chain) if site.store else 0
        loaded = max(0, min(stored, stream.shared) - held)
        missing = max(0, length - held - loaded)
        new = stream.chain not in self._known
        self._known.add(stream.chain)
        if not new:
            self.outcome.prefix_tokens += length
            self.outcome.computed += missing
            self.outcome.loaded += loaded
        if site.store:
            site.store.touch(stream.chain)
        ready = self._now + self._costs.load(loaded, self._bytes_s)
        work = self._costs.compute(length - missing, length)
        if work:
            site.busy_until = max(site.busy_until, ready) + work
            ready = site.busy_until
        stream.ready_at = ready

    def _advance(self, site: Site) -> None:
        for stream in list(site.streams):
            if stream not in site.streams or self._now < max(stream.ready_at, site.busy_until):
                continue
            stream.done = min(stream.tokens, stream.done + self._costs.decode_tokens_s * STEP)
            if not self._keep(site, stream):
                continue
            self._fork(site, stream)
            if stream.done >= stream.tokens:
                self._end(site, stream)

    def _keep(self, site: Site, stream: Stream) -> bool:
        """Room for its new tokens; the youngest stream gives way where there is none. Whether this one goes on."""
        while not site.fits(stream):
            youngest = max(site.streams, key=lambda s: (s.began, s.main is None, s.chain))
            site.leaves(youngest)
            site.waiting.append(youngest)
            self.outcome.preempted += 1
            if youngest.chain not in site.pinned():
                site.cache.drop(youngest.chain)
            if youngest is stream:
                return False
        if site.store and stream.main:
            site.store.put(stream.chain, stream.length)
        return True

    def _fork(self, site: Site, stream: Stream) -> None:
        if stream.main is None:
            return
        while stream.forked < len(stream.main.forks) and stream.main.forks[stream.forked][0] <= stream.done:
            at, answer = stream.main.forks[stream.forked]
            stream.forked += 1
            prefix = stream.prefix + at
            target = self._target(stream.main, prefix)
            own = f"{stream.chain}#{stream.forked}"
            target.waiting.append(Stream(stream.chain, prefix, answer, self._now, own=own))

    def _target(self, main: Reasoning, prefix: int) -> Site:
        cost = PrefixCost(
            load_seconds_per_token=self._costs.load(prefix, self._bytes_s) / prefix,
            compute_seconds_per_token=self._costs.compute(0, prefix) / prefix,
        )
        replicas = [
            Replica(name=site.name, wait_seconds=self._wait(site), shares_pool=self._tier == "ours")
            for site in self._sites
        ]
        chosen = place(self._homes[main.name], prefix, replicas, cost).replica
        return next(site for site in self._sites if site.name == chosen)

    def _wait(self, site: Site) -> float:
        """Until a request that comes now would start: the work before it, and streams that wait for memory."""
        return max(0.0, site.busy_until - self._now) + len(site.waiting) / self._costs.decode_tokens_s

    def _end(self, site: Site, stream: Stream) -> None:
        site.leaves(stream)
        if stream.main is None:
            self.outcome.fork_seconds.append(self._now - stream.began)
