"""The KV tier over shared memory, on any machine: look-ups, copies, revocations and pauses: `python -m bench.kv.host`.

A pool in a process of its own and one worker with 2,048 blocks of 64 KiB (32,768 tokens). The ceiling is numpy's own
copy of the same bytes. One JSON document; times in seconds.
"""
from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from bench.kv.child import PoolChild, pool_child, reached
from bench.kv.revoking import begin_loads, end_loads, revoke
from kvstore.engine.config import TierConfig
from kvstore.engine.host import HostCopier
from kvstore.engine.slots import Slots
from kvstore.engine.tier import Tier
from kvstore.engine.transfers import Transfers
from kvstore.geometry import Geometry, Space
from kvstore.wire import Hello

BLOCKS, PAYLOAD, CHUNK_MIB, CHUNKS = 2_048, 65_536, 16, 10
GEOMETRY = Geometry(layout="bench", dtype="bfloat16", tokens=16, payload=PAYLOAD)
KEYS = [n.to_bytes(8, "big") * 4 for n in range(BLOCKS)]


def measure(pool: PoolChild, repeats: int) -> dict[str, object]:
    memory = np.random.default_rng(1).integers(0, 256, (BLOCKS, PAYLOAD), dtype=np.uint8)
    config = TierConfig(sockets=str(pool.folder), min_load_tokens=0, timeout_seconds=5.0)
    space = Space(model="bench")
    tier = Tier(config, Hello(role="manager", engine="bench", space=space, geometry=GEOMETRY))
    hello = Hello(role="worker", engine="bench", space=space, geometry=GEOMETRY)
    copiers = HostCopier([memory], GEOMETRY, 0), HostCopier([memory], GEOMETRY, 0)
    transfers = reached(Transfers(pool.folder, hello, *copiers))
    expected = memory.copy()
    stored = _store(tier, transfers)
    memory[:] = 0
    loaded = _seconds(lambda: _copy(transfers, "load", tier.pin(KEYS)), repeats)
    found: dict[str, object] = {
        "blocks": BLOCKS, "bytes": BLOCKS * PAYLOAD, "right": bool(np.array_equal(memory, expected)),
        "look_up_all_seconds": _seconds(lambda: tier.find("c", KEYS, 0), repeats),
        "look_up_one_seconds": _seconds(lambda: tier.find("d", KEYS[:1], 0), repeats),
        "store_seconds": stored, "load_seconds": loaded,
        "plain_copy_seconds": _seconds(lambda: expected.copy(), repeats),
    }
    for name, loading in (("revoke_all_idle_seconds", False), ("revoke_all_while_loading_seconds", True)):
        taken = []
        for _ in range(3):
            taken.append(revoke(pool, tier, transfers, KEYS, busy=loading))
            pool.wait_chunks(CHUNKS)
            _store(tier, transfers)
        found[name] = taken
    begin_loads(tier, transfers, KEYS)
    found["pause_while_loading_seconds"] = pool.ask("reserve", bytes=1, quiet=True)["seconds"]
    pool.ask("release")
    end_loads(transfers)
    tier.close()
    transfers.close()
    return found


def _store(tier: Tier, transfers: Transfers) -> float:
    """Seconds until the pool knows that it has all blocks. RuntimeError where there is no room for them."""
    slots = tier.reserve("a", KEYS).slots
    if len(slots) != BLOCKS:
        raise RuntimeError(f"room for {len(slots)} of {BLOCKS} blocks")
    seconds = _seconds(lambda: _copy(transfers, "store", slots), 1)
    while tier.find("b", KEYS, 0) < BLOCKS:
        time.sleep(0.001)
    return seconds


def _copy(transfers: Transfers, direction: Literal["store", "load"], slots: Slots) -> None:
    job = time.monotonic_ns()
    transfers.submit(job, direction, range(len(slots)), slots)
    transfers.wait([job])


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """The median of so many."""
    taken = []
    for _ in range(repeats):
        since = time.perf_counter()
        work()
        taken.append(time.perf_counter() - since)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kv-"))
    sizes = ("--chunk-mib", str(CHUNK_MIB), "--most-mib", str(CHUNK_MIB * CHUNKS))
    with pool_child(folder, "--kind", "shm", *sizes) as pool:
        pool.wait_chunks(CHUNKS)
        print(json.dumps(measure(pool, args.repeats)))


if __name__ == "__main__":
    main()
