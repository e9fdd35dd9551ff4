"""A worker's copies: one thread a direction, jobs in order.

What is done for each block is done in columns: the thread shares the interpreter with the engine's own. Where a load
need not wait for anything and a copy is only queued, the engine's thread begins it, and sees it through (`loading.py`).
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kvstore.address import pools
from kvstore.engine.copier import Copier
from kvstore.engine.copying import Copies, Piece, Start, piece_of
from kvstore.engine.loading import Loading
from kvstore.engine.mappings import Mappings
from kvstore.engine.slots import Ints, Slots, joined
from kvstore.wire import KEYS, Hello

log = logging.getLogger("vllm.kvstore")
_LOOK_SECONDS = 1.0
_JOBS = 64


@dataclass(frozen=True)
class Job:
    id: int
    blocks: Ints
    slots: Slots
    mark: Any
    submitted_at: float
    begun: Loading | None = None
    """A load that the engine's thread has begun."""


@dataclass(frozen=True)
class Done:
    id: int
    bytes: int
    seconds: float
    failed: list[int] = field(default_factory=list)
    """The engine's blocks that were not loaded."""


class Transfers:
    """Both directions of one worker. Made by the engine's thread, which calls `submit` and `finished` as well.

    `context`: the CUDA context that its copiers work in, None where they work on host memory.
    """

    def __init__(
        self, folder: Path, hello: Hello, store: Copier, load: Copier, context: int | None = None
    ) -> None:
        self._folder = folder
        self._hello = hello
        self._context = context
        self._pools: dict[str, Mappings] = {}
        self._looking = threading.Lock()
        self._lock = threading.Condition()
        self._done: list[Done] = []
        self._open: set[int] = set()
        self._begun: Loading | None = None
        """The last one that the engine's thread began: while it is not finished there is no other."""
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
        job = Job(id, numbers, slots, lane.copier.mark(), time.monotonic())
        if direction == "load" and lane.copier.queues and lane.idle and self._mapped(slots):
            self._begun = self._loading(job, lane.copier)
            self._advance()
            job = replace(job, begun=self._begun)
        lane.put(job)

    def finished(self) -> list[Done]:
        self._advance()
        with self._lock:
            done, self._done = self._done, []
            self._failed.update(block for job in done for block in job.failed)
        return done

    def take_failed(self) -> set[int]:
        """The engine's blocks of finished loads that hold nothing of use."""
        failed, self._failed = self._failed, set()
        return failed

    def connected(self) -> bool:
        """Whether there are pools and all have welcomed this worker. Before that they promise its engine nothing."""
        pools = list(self._pools.values())
        return bool(pools) and all(pool.connected for pool in pools)

    def wait(self, ids: Collection[int]) -> None:
        with self._lock:
            self._lock.wait_for(lambda: not self._open.intersection(ids))

    def close(self) -> None:
        self._closing.set()
        for lane in self._lanes.values():
            lane.close()
        for pool in list(self._pools.values()):
            pool.close()

    def _advance(self) -> None:
        if self._begun is not None and not self._begun.finished:
            self._begun.advance()

    # Pools

    def _mapped(self, slots: Slots) -> bool:
        """Whether all pages are in this process's reach, so that a copy is a launch."""
        return all(part.pool in self._pools and self._pools[part.pool].maps for part in slots.parts)

    def _look_for_pools(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        with self._looking:
            for path in pools(self._folder):
                if path.stem not in self._pools:
                    self._pools[path.stem] = Mappings(path, self._hello, self._context)

    # Jobs

    def _store(self, copier: Copier, jobs: Sequence[Job]) -> None:
        """Those of one step together, which often are one request's forks: one launch, one message."""
        for piece, good, problem in self._copies(merged(jobs), copier, copier.store).ended(wait=True):
            self._pools[piece.pool].wrote(piece.handles, ok=bool(good.all()))
            if problem:
                log.info("KV tier: %d blocks were not stored: %s", len(piece.blocks), problem)
        for job in jobs:
            self._finish(job, [])

    def _load(self, copier: Copier, jobs: Sequence[Job]) -> None:
        (job,) = jobs
        (job.begun or self._loading(job, copier)).run()

    def _loading(self, job: Job, copier: Copier) -> Loading:
        copies = self._copies(job, copier, copier.load)
        return Loading(job.blocks, copies, self._pools, partial(self._finish, job))

    def _copies(self, job: Job, copier: Copier, start: Start) -> Copies:
        return Copies(self._pieces(job, copier), self._pools, start, job.mark)

    def _pieces(self, job: Job, copier: Copier) -> Iterator[Piece]:
        """Of each pool that is known, as much as the copier copies in one call, and no more than a message names."""
        if any(part.pool not in self._pools for part in job.slots.parts):
            self._look()
        for part in job.slots.parts:
            at, end = 0, len(part.rows) if part.pool in self._pools else 0
            while at < end:
                to = at + min(KEYS, max(1, copier.slice_bytes // self._hello.geometry.payload))
                yield piece_of(part.pool, job.blocks[part.rows[at:to]], part.handles[at:to])
                at = to

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
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._run = run
        self._together = together
        self._put = self._ended = 0
        """Jobs so far; each number is written by one thread alone."""
        self._thread = threading.Thread(target=self._work, name=f"kv-{name}", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        self._put += 1
        self._jobs.put(job)

    @property
    def idle(self) -> bool:
        """Whether it does nothing until a job is put, to whoever puts them."""
        return self._put == self._ended

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs: list[Job | None] = [job]
            while len(jobs) < self._together and not self._jobs.empty():
                jobs.append(self._jobs.get())
            due = [job for job in jobs if job is not None]
            self._run(self.copier, due)
            self._ended += len(due)
            if jobs[-1] is None:
                return

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()
