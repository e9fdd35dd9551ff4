"""A worker's copies: one thread a direction, jobs in order, in pieces that keep a revocation from waiting long."""
from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from kvstore.address import pools
from kvstore.engine.copier import Copier, Place, Wait
from kvstore.engine.mappings import Mappings, Unavailable
from kvstore.engine.tier import Slot
from kvstore.geometry import Handle
from kvstore.memory import context_here
from kvstore.wire import Hello

log = logging.getLogger("vllm.kvstore")
_LOOK_SECONDS = 1.0
_AT_ONCE = 2
Start = Callable[[Sequence[int], Sequence[Place], Any], Wait]
"""`Copier.store` or `Copier.load`."""


@dataclass(frozen=True)
class Job:
    id: int
    blocks: Sequence[int]
    slots: Sequence[Slot]
    mark: Any
    submitted_at: float


@dataclass(frozen=True)
class Done:
    id: int
    bytes: int
    seconds: float
    failed: list[int] = field(default_factory=list)
    """The engine's blocks that were not loaded."""


@dataclass(frozen=True)
class Piece:
    """What one call of a copier does."""

    pool: str
    blocks: list[int]
    handles: list[Handle]

    @cached_property
    def chunks(self) -> set[int]:
        return {handle.chunk for handle in self.handles}


class Copying:
    """A piece under way; its chunks stay mapped until it ends. A copy that breaks costs its blocks, not the engine."""

    def __init__(self, piece: Piece, pool: Mappings, start: Start, mark: Any) -> None:
        self._piece = piece
        self._held = ExitStack()
        self._wait: Wait | None = None
        self._problem = ""
        with self._caught():
            chunks = self._held.enter_context(pool.use(piece.chunks))
            self._wait = start(piece.blocks, [Place(chunks[h.chunk], h.page, h.tag) for h in piece.handles], mark)

    def end(self) -> tuple[Piece, list[bool], str]:
        good = [False] * len(self._piece.blocks)
        with self._held, self._caught():
            if self._wait is not None:
                good = self._wait()
        return self._piece, good, self._problem

    @contextmanager
    def _caught(self) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            self._problem = str(error)
        except Exception as error:
            log.exception("KV pool %s: a copy of %d blocks broke", self._piece.pool, len(self._piece.blocks))
            self._problem = repr(error)


class Transfers:
    """Both directions of one worker. Made by the engine's thread, which calls `submit` and `finished` as well."""

    def __init__(self, folder: Path, hello: Hello, store: Copier, load: Copier) -> None:
        self._folder = folder
        self._hello = hello
        self._context = context_here()
        self._pools: dict[str, Mappings] = {}
        self._lock = threading.Condition()
        self._done: list[Done] = []
        self._open: set[int] = set()
        self._failed: set[int] = set()
        self._closing = threading.Event()
        self._lanes = {"store": Lane("store", store, self._store), "load": Lane("load", load, self._load)}
        self._look()
        threading.Thread(target=self._look_for_pools, name="kv-look", daemon=True).start()

    def submit(
        self, id: int, direction: Literal["store", "load"], blocks: Sequence[int], slots: Sequence[Slot]
    ) -> None:
        lane = self._lanes[direction]
        with self._lock:
            self._open.add(id)
        lane.jobs.put(Job(id, blocks, slots, lane.copier.mark(), time.monotonic()))

    def finished(self) -> list[Done]:
        with self._lock:
            done, self._done = self._done, []
            self._failed.update(block for job in done for block in job.failed)
        return done

    def take_failed(self) -> set[int]:
        """The engine's blocks of finished loads that hold nothing of use."""
        failed, self._failed = self._failed, set()
        return failed

    def wait(self, ids: Collection[int]) -> None:
        with self._lock:
            self._lock.wait_for(lambda: not self._open.intersection(ids))

    def close(self) -> None:
        self._closing.set()
        for lane in self._lanes.values():
            lane.close()
        for pool in list(self._pools.values()):
            pool.close()

    # Pools

    def _look_for_pools(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        for path in pools(self._folder):
            if path.stem not in self._pools:
                self._pools[path.stem] = Mappings(path, self._hello, self._context)

    # One job

    def _store(self, copier: Copier, job: Job) -> None:
        for piece, good, problem in self._copies(job, copier.store, copier.slice_bytes):
            self._pools[piece.pool].wrote(piece.handles, ok=all(good))
            if problem:
                log.info("KV tier: %d blocks were not stored: %s", len(piece.blocks), problem)
        self._finish(job, [])

    def _load(self, copier: Copier, job: Job) -> None:
        good: set[int] = set()
        problems = set()
        for piece, ok, problem in self._copies(job, copier.load, copier.slice_bytes):
            wrong = [] if problem else [handle for handle, fine in zip(piece.handles, ok, strict=True) if not fine]
            self._pools[piece.pool].read(piece.handles, wrong=wrong)
            good.update(block for block, fine in zip(piece.blocks, ok, strict=True) if fine)
            problems.add(problem or ("not what was stored" if wrong else ""))
        failed = [block for block in job.blocks if block not in good]
        if failed:
            why = ", ".join(sorted(problems - {""})) or "gone from the pool"
            log.warning("KV tier: %d of %d blocks will be computed: %s", len(failed), len(job.blocks), why)
        self._finish(job, failed)

    def _copies(self, job: Job, start: Start, most: int) -> Iterator[tuple[Piece, list[bool], str]]:
        """Each piece with which of its blocks were copied, and why none was.

        The next one is made ready while one is copied; but none is held while a chunk is waited for.
        """
        under_way: deque[Copying] = deque()
        for piece in self._pieces(job, most):
            pool = self._pools[piece.pool]
            while under_way and (len(under_way) >= _AT_ONCE or not pool.has(piece.chunks)):
                yield under_way.popleft().end()
            under_way.append(Copying(piece, pool, start, job.mark))
        while under_way:
            yield under_way.popleft().end()

    def _pieces(self, job: Job, most: int) -> list[Piece]:
        """Of each pool that is known, at most `most` bytes each."""
        by_pool: dict[str, list[tuple[int, Handle]]] = defaultdict(list)
        for block, slot in zip(job.blocks, job.slots, strict=True):
            if slot is not None:
                by_pool[slot[0]].append((block, slot[1]))
        if not by_pool.keys() <= self._pools.keys():
            self._look()
        step = max(1, most // self._hello.geometry.payload)
        return [
            Piece(pool, [block for block, _ in pairs[i : i + step]], [handle for _, handle in pairs[i : i + step]])
            for pool, pairs in by_pool.items() if pool in self._pools for i in range(0, len(pairs), step)
        ]

    def _finish(self, job: Job, failed: list[int]) -> None:
        size = self._hello.geometry.payload * (len(job.blocks) - len(failed))
        with self._lock:
            self._done.append(Done(job.id, size, time.monotonic() - job.submitted_at, failed))
            self._open.discard(job.id)
            self._lock.notify_all()


class Lane:
    """A thread that works off one direction's jobs."""

    def __init__(self, name: str, copier: Copier, run: Callable[[Copier, Job], None]) -> None:
        self.copier = copier
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._run = run
        self._thread = threading.Thread(target=self._work, name=f"kv-{name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            self._run(self.copier, job)

    def close(self) -> None:
        self.jobs.put(None)
        self._thread.join()
