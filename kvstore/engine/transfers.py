"""A worker's copies: one thread a direction, jobs in order, in pieces that keep a revocation from waiting long.

What is done for each block is done in columns: the thread shares the interpreter with the engine's own.
"""
from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kvstore.address import pools
from kvstore.engine.copier import Bools, Copier, Places, Wait
from kvstore.engine.mappings import Mappings, Unavailable
from kvstore.engine.slots import CHUNK, PAGE, TAG, Ints, Slots, joined
from kvstore.memory import Mapping as Chunk
from kvstore.memory import context_here
from kvstore.wire import KEYS, Hello

log = logging.getLogger("vllm.kvstore")
_LOOK_SECONDS = 1.0
_AT_ONCE, _JOBS = 2, 64
Start = Callable[[Ints, Places, Any], Wait]
"""`Copier.store` or `Copier.load`."""


@dataclass(frozen=True)
class Job:
    id: int
    blocks: Ints
    slots: Slots
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
    blocks: Ints
    handles: Ints
    chunks: list[int]
    """Each once, in the order of `which`."""
    which: Ints
    """Of the chunks, for each handle."""

    def places(self, chunks: Mapping[int, Chunk]) -> Places:
        return Places([chunks[c] for c in self.chunks], self.which, self.handles[:, PAGE], self.handles[:, TAG])


def piece(pool: str, blocks: Ints, handles: Ints) -> Piece:
    chunks, which = np.unique(handles[:, CHUNK], return_inverse=True)
    return Piece(pool, blocks, handles, chunks.tolist(), which)


class Copying:
    """A piece under way; its chunks stay mapped until it ends. A copy that breaks costs its blocks, not the engine."""

    def __init__(self, piece: Piece, pool: Mappings, start: Start, mark: Any) -> None:
        self._piece = piece
        self._held = ExitStack()
        self._wait: Wait | None = None
        self._problem = ""
        with self._caught():
            chunks = self._held.enter_context(pool.use(piece.chunks))
            self._wait = start(piece.blocks, piece.places(chunks), mark)

    def end(self) -> tuple[Piece, Bools, str]:
        good = np.zeros(len(self._piece.blocks), dtype=bool)
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
        self._lanes = {
            "store": Lane("store", store, self._store, together=_JOBS), "load": Lane("load", load, self._load),
        }
        self._look()
        threading.Thread(target=self._look_for_pools, name="kv-look", daemon=True).start()

    def submit(
        self, id: int, direction: Literal["store", "load"], blocks: Sequence[int] | npt.NDArray[np.integer[Any]],
        slots: Slots,
    ) -> None:
        """Copy blocks from or to their slots, which are as many, some time from now; `finished` tells when."""
        lane = self._lanes[direction]
        with self._lock:
            self._open.add(id)
        numbers = np.asarray(blocks, dtype=np.int64)
        lane.jobs.put(Job(id, numbers, slots, lane.copier.mark(), time.monotonic()))

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

    # Jobs

    def _store(self, copier: Copier, jobs: Sequence[Job]) -> None:
        """Those of one step together, which often are one request's forks: one launch, one message."""
        for piece, good, problem in self._copies(merged(jobs), copier.store, copier.slice_bytes):
            self._pools[piece.pool].wrote(piece.handles, ok=bool(good.all()))
            if problem:
                log.info("KV tier: %d blocks were not stored: %s", len(piece.blocks), problem)
        for job in jobs:
            self._finish(job, [])

    def _load(self, copier: Copier, jobs: Sequence[Job]) -> None:
        (job,) = jobs
        loaded: list[Ints] = [np.empty(0, dtype=np.int64)]
        problems = set()
        for piece, good, problem in self._copies(job, copier.load, copier.slice_bytes):
            wrong = piece.handles[:0] if problem else piece.handles[~good]
            self._pools[piece.pool].read(piece.handles, wrong=wrong)
            loaded.append(piece.blocks[good])
            problems.add(problem or ("not what was stored" if len(wrong) else ""))
        failed = np.setdiff1d(job.blocks, np.concatenate(loaded)).tolist()
        if failed:
            why = ", ".join(sorted(problems - {""})) or "gone from the pool"
            log.warning("KV tier: %d of %d blocks will be computed: %s", len(failed), len(job.blocks), why)
        self._finish(job, failed)

    def _copies(self, job: Job, start: Start, most: int) -> Iterator[tuple[Piece, Bools, str]]:
        """Each piece with which of its blocks were copied, and why none was.

        The next one is started while one is copied, and before what ended is reported; but none is held while a chunk
        is waited for.
        """
        under_way: deque[Copying] = deque()
        for piece in self._pieces(job, most):
            pool, ended = self._pools[piece.pool], []
            while under_way and (len(under_way) >= _AT_ONCE or not pool.has(piece.chunks)):
                ended.append(under_way.popleft().end())
            under_way.append(Copying(piece, pool, start, job.mark))
            yield from ended
        while under_way:
            yield under_way.popleft().end()

    def _pieces(self, job: Job, most: int) -> Iterator[Piece]:
        """Of each pool that is known, at most `most` bytes each, and no more than a message names."""
        if any(part.pool not in self._pools for part in job.slots.parts):
            self._look()
        step = min(KEYS, max(1, most // self._hello.geometry.payload))
        for part in job.slots.parts:
            if part.pool in self._pools:
                for at in range(0, len(part.rows), step):
                    yield piece(part.pool, job.blocks[part.rows[at : at + step]], part.handles[at : at + step])

    def _finish(self, job: Job, failed: list[int]) -> None:
        size = self._hello.geometry.payload * (len(job.blocks) - len(failed))
        with self._lock:
            self._done.append(Done(job.id, size, time.monotonic() - job.submitted_at, failed))
            self._open.discard(job.id)
            self._lock.notify_all()


def merged(jobs: Sequence[Job]) -> Job:
    """One after the other; the last one's mark comes after the others'."""
    if len(jobs) == 1:
        return jobs[0]
    return replace(jobs[-1], blocks=np.concatenate([j.blocks for j in jobs]), slots=joined([j.slots for j in jobs]))


class Lane:
    """A thread that works off one direction's jobs, up to `together` that wait at a time."""

    def __init__(
        self, name: str, copier: Copier, run: Callable[[Copier, Sequence[Job]], None], together: int = 1
    ) -> None:
        self.copier = copier
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._run = run
        self._together = together
        self._thread = threading.Thread(target=self._work, name=f"kv-{name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            jobs: list[Job | None] = [job]
            while len(jobs) < self._together and not self.jobs.empty():
                jobs.append(self.jobs.get())
            self._run(self.copier, [job for job in jobs if job is not None])
            if jobs[-1] is None:
                return

    def close(self) -> None:
        self.jobs.put(None)
        self._thread.join()
