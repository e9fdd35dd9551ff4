"""What an engine's scheduler knows of the pools: which blocks are where, asked for in batches.

Answers within `timeout_seconds` or counts the pool as gone, in which case everything is a miss: the engine computes.
"""
from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from common.errors import SpecgenError
from kvstore.address import pools
from kvstore.engine.config import TierConfig
from kvstore.engine.slots import Slots, part
from kvstore.line import Line, SessionRefused
from kvstore.wire import KEYS, Abandon, Ask, FromEngine, FromService, Handles, Hello, Pin, Reserve, State, Touch

log = logging.getLogger("vllm.kvstore")
_REFUSED_SECONDS = 10.0
_TOUCH_SECONDS = 1.0
T = TypeVar("T")


class Pool:
    """The scheduler's session with one pool, made again when it broke."""

    def __init__(self, path: Path, hello: Hello, config: TierConfig) -> None:
        self.name = path.stem
        self.state = State(epoch=0)
        self._path = path
        self._hello = hello
        self._config = config
        self._line: Line | None = None
        self._retry_at = 0.0
        self._lost: list[Abandon] = []
        """Answers that did not come: the service is told as soon as it is there again."""

    @property
    def up(self) -> bool:
        return self._line is not None

    def connect(self, now: float) -> None:
        """Try again if it is time."""
        if self._line is not None or now < self._retry_at:
            return
        self._retry_at = now + self._config.retry_seconds
        try:
            self._line = Line(self._path, self._hello, self._config.timeout_seconds)
        except SpecgenError as error:
            self._lose(error, now)
            return
        log.info("KV pool %s: connected", self.name)
        lost, self._lost = self._lost, []
        for packet in lost:
            self.tell(packet)

    def ask(self, packet: FromEngine) -> FromService | None:
        """None where the pool is gone. A session that broke (the service was started again) is made anew once."""
        answer = self._ask(packet)
        if answer is None:
            self.connect(time.monotonic())
            answer = self._ask(packet)
        if isinstance(answer, State | Handles):
            self.state = answer if isinstance(answer, State) else answer.state
        return answer

    def _ask(self, packet: FromEngine) -> FromService | None:
        if self._line is None:
            return None
        try:
            return self._line.ask(packet)
        except SpecgenError as error:
            self._lose(error, time.monotonic())
            if isinstance(packet, Reserve | Pin):
                self._lost.append(Abandon(keys=packet.keys, pinned=isinstance(packet, Pin)))
            return None

    def tell(self, packet: FromEngine) -> None:
        if self._line is not None:
            try:
                self._line.send(packet)
            except SpecgenError as error:
                self._lose(error, time.monotonic())

    def _lose(self, error: SpecgenError, now: float) -> None:
        if isinstance(error, SessionRefused):
            self._retry_at = now + _REFUSED_SECONDS
            log.error("KV pool %s: %s", self.name, error)
        elif self._line is not None:
            log.warning("KV pool %s: %s", self.name, error)
        self.close()

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class Granted(NamedTuple):
    """Blocks to store, and a page for each."""

    keys: list[bytes]
    slots: Slots


NOTHING = Granted([], Slots(0))


@dataclass(slots=True)
class Chain:
    """A request's blocks from the first on, as far as they are known."""

    keys: dict[bytes, None] = field(default_factory=dict)
    pool: str = ""
    """Where it stores: the pool that has its beginning."""
    epoch: int = 0
    short: bool = False
    """Some blocks found no room: there is a hole."""
    touched_at: float = 0.0
    given_up: bool = False
    """A load failed; no other is tried."""


class Tier:
    """One for an engine's scheduler. Not thread-safe; the scheduler has one thread."""

    def __init__(self, config: TierConfig, hello: Hello) -> None:
        self._config = config
        self._hello = hello
        self._pools: dict[str, Pool] = {}
        self._look_at = 0.0
        self._chains: dict[str, Chain] = {}
        self._where: dict[bytes, str] = {}
        self._rewinds: set[str] = set()

    @property
    def tokens(self) -> int:
        """Tokens a block."""
        return self._hello.geometry.tokens

    @property
    def together(self) -> int:
        """Blocks of a running request that are stored at once."""
        return max(1, -(-self._config.store_tokens // self.tokens))

    # Loading

    def find(self, request: str, keys: Sequence[bytes], start: int) -> int:
        """How many blocks from `start` on can be loaded. `keys`: all of the request's full blocks."""
        chain = self._chain(request, keys)
        self._where = {}
        if chain.given_up:
            return 0
        wanted = keys[start:]
        where: dict[bytes, str] = {}
        pools = self._ready()
        while pools and len(where) < len(wanted):
            counts = [(self._leading(pool, wanted[len(where):]), pool) for pool in pools]
            best, pool = max(counts, key=lambda pair: pair[0])
            if not best:
                break
            where |= dict.fromkeys(wanted[len(where):][:best], pool.name)
            if not chain.pool:
                # What is loaded is not stored by this request, unless the pool loses it.
                chain.pool, chain.epoch = pool.name, pool.state.epoch
        if len(where) * self.tokens >= self._config.min_load_tokens:
            self._where = where
        return len(self._where)

    def give_up(self, request: str) -> None:
        """A load failed: the request computes from now on, so that it cannot go round in circles. What it was to load
        is stored with the rest: behind a hole nothing would be found."""
        if request in self._chains:
            self._chains[request].given_up = True
            self._rewinds.add(request)

    def has(self, key: bytes) -> bool:
        """Whether the last `find` found it."""
        return key in self._where

    def pin(self, keys: Sequence[bytes]) -> Slots:
        """Protect blocks for a load and say where they are."""
        parts = []
        for pool in self._ready():
            rows = [row for row, key in enumerate(keys) if self._where.get(key) == pool.name]
            for batch in batches(rows):
                answer = pool.ask(Pin(keys=[keys[row] for row in batch]))
                if isinstance(answer, Handles):
                    parts.append(part(pool.name, batch, answer.handles))
        return Slots(len(keys), tuple(parts))

    # Storing

    def reserve(self, request: str, keys: Sequence[bytes], limit: int | None = None) -> Granted:
        """Pages for blocks that are nowhere yet. `limit`: blocks of the request to keep at most."""
        chain = self._chain(request, keys)
        pool = self._pool_for(chain)
        if limit is not None:
            keep = set(islice(chain.keys, limit))
            keys = [key for key in keys if key in keep]
        if pool is None:
            chain.short = True
            return NOTHING
        granted: list[bytes] = []
        parts = []
        short = False
        for batch in batches(keys):
            answer = pool.ask(Reserve(keys=batch))
            if not isinstance(answer, Handles):
                short = True
                break
            short = short or answer.short
            found = part(pool.name, range(len(batch)), answer.handles)
            parts.append(replace(found, rows=np.arange(len(granted), len(granted) + len(found.rows))))
            granted += [batch[row] for row in found.rows.tolist()]
        self._remember(request, chain, pool, short)
        self._touch(chain, pool)
        return Granted(granted, Slots(len(granted), tuple(parts)))

    def take_rewinds(self) -> set[str]:
        """Requests whose earlier blocks may be missing in the tier: offer them from the first on again."""
        taken, self._rewinds = self._rewinds, set()
        return taken

    def forget(self, request: str) -> None:
        self._chains.pop(request, None)
        self._rewinds.discard(request)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    # Inside

    def _chain(self, request: str, keys: Iterable[bytes]) -> Chain:
        chain = self._chains.setdefault(request, Chain())
        chain.keys.update(dict.fromkeys(keys))
        return chain

    def _remember(self, request: str, chain: Chain, pool: Pool, short: bool) -> None:
        """Blocks were lost when the pool's epoch changed, or left out while there was no room: once the pool takes
        blocks again, the whole chain is offered once more, and the pool asks for what it lacks."""
        changed = chain.epoch not in (0, pool.state.epoch) or chain.pool not in ("", pool.name)
        if not short and (changed or chain.short):
            self._rewinds.add(request)
        chain.pool, chain.epoch, chain.short = pool.name, pool.state.epoch, short

    def _touch(self, chain: Chain, pool: Pool) -> None:
        """Now and then, so that what a running request stands on is not evicted for others; its beginning last."""
        now = time.monotonic()
        if now - chain.touched_at > _TOUCH_SECONDS:
            chain.touched_at = now
            for batch in reversed(list(batches(list(chain.keys)))):
                pool.tell(Touch(keys=batch))

    def _pool_for(self, chain: Chain) -> Pool | None:
        pools = {pool.name: pool for pool in self._ready()}
        if chain.pool in pools:
            return pools[chain.pool]
        return max(pools.values(), key=lambda pool: pool.state.room, default=None)

    def _leading(self, pool: Pool, keys: Sequence[bytes]) -> int:
        total = 0
        for batch in batches(keys):
            answer = pool.ask(Ask(keys=batch))
            count = answer.count if isinstance(answer, State) else 0
            total += count
            if count < len(batch):
                break
        return total

    def _ready(self) -> list[Pool]:
        """Pools that answer; looks for new ones and tries lost ones again now and then."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._config.retry_seconds
            for path in pools(self._config.folder()):
                if path.stem not in self._pools:
                    self._pools[path.stem] = Pool(path, self._hello, self._config)
        for pool in self._pools.values():
            pool.connect(now)
        return [pool for pool in self._pools.values() if pool.up]


def batches(keys: Sequence[T]) -> Iterator[list[T]]:
    """What fits one message each."""
    for start in range(0, len(keys), KEYS):
        yield list(keys[start : start + KEYS])
