"""A worker's copies: one thread a direction, jobs in order, in slices that keep a revocation from waiting long."""
from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from kvstore.address import pools
from kvstore.engine.copier import Copier, Place
from kvstore.engine.mappings import Mappings, Unavailable
from kvstore.engine.tier import Slot
from kvstore.geometry import Handle
from kvstore.memory import context_here
from kvstore.wire import Hello

log = logging.getLogger("vllm.kvstore")
_SLICE_BYTES = 256 * 2**20
_LOOK_SECONDS = 1.0


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
        def copy(blocks: list[int], places: list[Place]) -> list[bool]:
            copier.store(blocks, places, job.mark)
            return [True] * len(blocks)

        for blocks, pool, handles in self._slices(job):
            good, problem = self._copy(copy, blocks, pool, handles)
            self._pools[pool].wrote(handles, ok=all(good))
            if problem:
                log.info("KV tier: %d blocks were not stored: %s", len(blocks), problem)
        self._finish(job, [])

    def _load(self, copier: Copier, job: Job) -> None:
        def copy(blocks: list[int], places: list[Place]) -> list[bool]:
            return copier.load(blocks, places, job.mark)

        good: set[int] = set()
        problems = set()
        for blocks, pool, handles in self._slices(job):
            ok, problem = self._copy(copy, blocks, pool, handles)
            wrong = [] if problem else [handle for handle, fine in zip(handles, ok, strict=True) if not fine]
            self._pools[pool].read(handles, wrong=wrong)
            good.update(block for block, fine in zip(blocks, ok, strict=True) if fine)
            problems.add(problem or ("not what was stored" if wrong else ""))
        failed = [block for block in job.blocks if block not in good]
        if failed:
            why = ", ".join(sorted(problems - {""})) or "gone from the pool"
            log.warning("KV tier: %d of %d blocks will be computed: %s", len(failed), len(job.blocks), why)
        self._finish(job, failed)

    def _copy(
        self, copy: Callable[[list[int], list[Place]], list[bool]], blocks: list[int], pool: str, handles: list[Handle]
    ) -> tuple[list[bool], str]:
        """Which blocks were copied, and why none was. A copy that breaks costs its blocks, never the engine."""
        try:
            with self._pools[pool].use(handle.chunk for handle in handles) as chunks:
                return copy(blocks, [Place(chunks[h.chunk], h.page, h.tag) for h in handles]), ""
        except Unavailable as error:
            problem = str(error)
        except Exception as error:
            log.exception("KV pool %s: a copy of %d blocks broke", pool, len(blocks))
            problem = repr(error)
        return [False] * len(blocks), problem

    def _slices(self, job: Job) -> list[tuple[list[int], str, list[Handle]]]:
        """(blocks, pool, handles) for each pool that is known, at most 256 MiB each."""
        by_pool: dict[str, list[tuple[int, Handle]]] = defaultdict(list)
        for block, slot in zip(job.blocks, job.slots, strict=True):
            if slot is not None:
                by_pool[slot[0]].append((block, slot[1]))
        if not by_pool.keys() <= self._pools.keys():
            self._look()
        step = max(1, _SLICE_BYTES // self._hello.geometry.payload)
        return [
            ([block for block, _ in pairs[i : i + step]], pool, [handle for _, handle in pairs[i : i + step]])
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
