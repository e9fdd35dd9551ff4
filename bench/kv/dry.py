"""An engine's side whose copies move no bytes: what is left is the work of the host, on any machine.

The pool is a process of its own. A block is small, and 113 of them fill a chunk, as they do on a GPU.
"""
from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from bench.kv.child import PoolChild, pool_child, reached
from kvstore.engine.config import TierConfig
from kvstore.engine.copier import COLUMNS, Copied, Copy, Places, fill
from kvstore.engine.slots import Ints, Slots
from kvstore.engine.tier import Tier
from kvstore.engine.transfers import Transfers
from kvstore.geometry import Geometry, Space
from kvstore.line import Line
from kvstore.wire import FromEngine, Hello

CHUNKS, TOKENS, PIECE = 96, 16, 227
"""Of a pool of 24 GiB; tokens a block; blocks of 2.36 MB that one copy moves at most."""
GEOMETRY = Geometry(layout="bench", dtype="bfloat16", tokens=TOKENS, payload=9_000)


class DryCopier:
    """Makes the table that a GPU's copies are launched with, and launches none."""

    slice_bytes = PIECE * GEOMETRY.payload
    queues = True

    def __init__(self) -> None:
        self.launches = 0
        self._table = np.empty((COLUMNS, PIECE), dtype=np.int64)

    def mark(self) -> None:
        return None

    def store(self, blocks: Ints, places: Places, mark: None) -> Copy:
        self.launches += 1
        fill(self._table[:, : len(blocks)], blocks, places, GEOMETRY, 0)
        return Copied(np.ones(len(blocks), dtype=bool))

    load = store


class Dry:
    """`sent` counts packets by their name, from now on."""

    def __init__(self, pool: PoolChild) -> None:
        self.sent: Counter[str] = Counter()
        self.copier = DryCopier()
        self.pool = pool
        space = Space(model="bench")
        config = TierConfig(sockets=str(pool.folder), min_load_tokens=0, timeout_seconds=60.0)
        self.tier = Tier(config, Hello(role="manager", engine="bench", space=space, geometry=GEOMETRY))
        worker = Hello(role="worker", engine="bench", space=space, geometry=GEOMETRY)
        self.transfers = reached(Transfers(pool.folder, worker, self.copier, self.copier))
        self._job = 0

    def submit(self, direction: Literal["store", "load"], slots: Slots) -> int:
        self._job += 1
        self.transfers.submit(self._job, direction, np.arange(len(slots)), slots)
        return self._job

    def run(self, direction: Literal["store", "load"], slots: Slots) -> None:
        self.transfers.wait([self.submit(direction, slots)])
        self.transfers.finished()
        if failed := self.transfers.take_failed():
            raise RuntimeError(f"{len(failed)} blocks were not copied: see the log")

    def store(self, keys: Sequence[bytes]) -> None:
        self.run("store", self.tier.reserve("s", keys).slots)

    def copying_seconds(self) -> float:
        """Processor time of the threads that copy, so far."""
        threads = [thread for thread in threading.enumerate() if thread.name in ("kv-store", "kv-load")]
        return sum(time.clock_gettime(time.pthread_getcpuclockid(thread.ident)) for thread in threads if thread.ident)

    def service_seconds(self) -> float:
        """Processor time of the pool, so far."""
        return int(Path(f"/proc/{self.pool.pid}/schedstat").read_text().split()[0]) / 1e9

    def close(self) -> None:
        self.tier.close()
        self.transfers.close()


@contextmanager
def dry() -> Iterator[Dry]:
    folder = Path(tempfile.mkdtemp(prefix="kv-"))
    with pool_child(folder, "--kind", "shm", "--chunk-mib", "1", "--most-mib", str(CHUNKS)) as pool:
        pool.wait_chunks(CHUNKS)
        made, send = Dry(pool), Line.send

        def counted(line: Line, packet: FromEngine) -> None:
            made.sent[type(packet).__name__] += 1
            send(line, packet)

        Line.send = counted  # type: ignore[method-assign]
        try:
            yield made
        finally:
            Line.send = send  # type: ignore[method-assign]
            made.close()


def keys(count: int, base: int = 0) -> list[bytes]:
    """As long as vLLM's names of blocks."""
    return [(base + n).to_bytes(8, "big") * 4 + b"0000" for n in range(count)]
