"""What the GPU parts share: an engine's KV without an engine, a worker of it, and an output line."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from bench.kv.child import reached
from kvstore.engine.config import TierConfig
from kvstore.engine.device import LOAD_PROGRAMS, STORE_PROGRAMS, DeviceCopier
from kvstore.engine.slots import Slots
from kvstore.engine.tier import Tier
from kvstore.engine.transfers import Transfers
from kvstore.geometry import Geometry, Space
from kvstore.memory import context_here
from kvstore.wire import Hello

LAYERS, PAGE = 36, 65_536
"""Qwen3-8B in bf16: 16 tokens of a layer are 8 heads * 128 * 2 (K, V) * 2 bytes * 16; see bench/engine/model.py."""
TOKENS = 16
_KNOWN_SECONDS = 5.0
LENDER = int(os.environ.get("KV_BENCH_LENDER", "0"))
"""The GPU that lends its memory and runs what is timed; the engine's side is always on the first."""


def uuid() -> str:
    """The lending GPU's, without a context on it."""
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[LENDER]


def report(part: str, **found: Any) -> None:
    """One JSON line on stdout."""
    print(json.dumps({"part": part, **found}, default=str), flush=True)


class Worker:
    """`blocks` blocks of KV in `regions` tensors, and the project's own tier and transfers over them."""

    def __init__(self, folder: Path, blocks: int, *, cross_layers: bool = True) -> None:
        shapes = [LAYERS * PAGE] if cross_layers else [PAGE] * LAYERS
        self.regions = [torch.randint(-128, 127, (blocks, size), dtype=torch.int8, device="cuda") for size in shapes]
        geometry = Geometry(layout="bench", dtype="bfloat16", tokens=TOKENS, payload=sum(shapes))
        config = TierConfig(sockets=str(folder), min_load_tokens=0, timeout_seconds=5.0)
        space = Space(model=f"bench-{cross_layers}")
        self.tier = Tier(config, Hello(role="manager", engine="bench", space=space, geometry=geometry))
        hello = Hello(role="worker", engine="bench", space=space, geometry=geometry)
        self.copiers = {
            "store": DeviceCopier(self.regions, geometry, 0, STORE_PROGRAMS),
            "load": DeviceCopier(self.regions, geometry, 0, LOAD_PROGRAMS),
        }
        copiers = self.copiers["store"], self.copiers["load"]
        self.transfers = reached(Transfers(folder, hello, *copiers, context_here()))
        self.geometry = geometry
        self.payload = geometry.payload
        self._job = 0

    def store(self, keys: list[bytes]) -> float:
        """Seconds from the submission until the pool has all of them. RuntimeError where it has not."""
        slots = self.tier.reserve("r", keys).slots
        if len(slots) != len(keys):
            raise RuntimeError(f"room for {len(slots)} of {len(keys)} blocks")
        seconds, _ = self.run("store", slots)
        self._await(keys)
        return seconds

    def _await(self, keys: list[bytes]) -> None:
        """The pool is told of what was written by another session than the one that asks for it."""
        end = time.monotonic() + _KNOWN_SECONDS
        while (found := self.tier.find("l", keys, 0)) < len(keys):
            if time.monotonic() > end:
                raise RuntimeError(f"{found} of {len(keys)} blocks were stored: see the log")
            time.sleep(0.001)

    def load(self, keys: list[bytes]) -> tuple[float, int]:
        """Seconds, and blocks that failed."""
        found = self.tier.find("l", keys, 0)
        if found != len(keys):
            raise RuntimeError(f"found {found} of {len(keys)} blocks")
        return self.run("load", self.tier.pin(keys))

    def run(self, direction: Literal["store", "load"], slots: Slots) -> tuple[float, int]:
        self._job += 1
        since = time.perf_counter()
        self.transfers.submit(self._job, direction, range(len(slots)), slots)
        self.transfers.wait([self._job])
        seconds = time.perf_counter() - since
        self.transfers.finished()
        return seconds, len(self.transfers.take_failed())

    def close(self) -> None:
        self.tier.close()
        self.transfers.close()


def keys(count: int, base: int = 0) -> list[bytes]:
    return [(base + n).to_bytes(8, "big") * 4 for n in range(count)]


def timed(work: Callable[[], object], repeats: int = 10) -> float:
    """Median seconds on the device, after two runs that do not count."""
    return statistics.median([once(work) for _ in range(repeats + 2)][2:])


def once(work: Callable[[], object]) -> float:
    """Seconds on the device."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    work()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3
