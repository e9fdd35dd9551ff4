"""A candidate that needs nearly the whole device runs while the pool holds gigabytes.

Nothing may fail: the pool shrinks before it runs, an engine's worker unmaps, and the pool grows back afterwards.
"""
from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench.kv.child import pool_child
from bench.kv.gear import LENDER, Worker, keys, report, uuid

MARGIN = 6 * 2**30
"""Left for the contexts of pool and worker."""
CONTEXT = 2**30
"""Of what the candidate asks for, left for its own context."""
_CANDIDATE = """
import sys, torch
held = torch.empty(int(sys.argv[1]), dtype=torch.uint8, device=sys.argv[2]).fill_(1)
print(int(held[::2**20].sum()), flush=True)
"""


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="kv-"))
    with pool_child(folder, "--kind", "vmm", "--device", uuid(), "--most-mib", "32768", "--idle", "0.5") as pool:
        before = pool.wait_chunks(128)
        worker = Worker(folder, 2_048)
        worker.store(keys(2_048))
        need = torch.cuda.get_device_properties(LENDER).total_memory - MARGIN - _held(worker)
        refused = _run(need - CONTEXT)
        since = time.perf_counter()
        reserved = pool.ask("reserve", bytes=need)
        seconds = time.perf_counter() - since
        ran = _run(need - CONTEXT)
        during = pool.ask("status")
        pool.ask("release")
        grown = pool.wait_chunks(before["chunks"])
        stored = worker.store(keys(256, 100_000))
        report(
            "candidate", need_bytes=need, without_reservation=refused, reservation_seconds=seconds,
            reserved=reserved, with_reservation=ran, during=during, grown=grown, store_after_seconds=stored,
            events=pool.events,
        )
        worker.close()


def _held(worker: Worker) -> int:
    """Of the lender's memory: the engine's own KV where both are one GPU."""
    if LENDER:
        return 0
    return sum(region.numel() for region in worker.regions)


def _run(size: int) -> dict[str, object]:
    """The candidate's own process; without a reservation it is expected to find too little."""
    command = [sys.executable, "-c", _CANDIDATE, str(size), f"cuda:{LENDER}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return {"code": done.returncode, "error": done.stderr.strip().splitlines()[-1:] if done.returncode else ""}


if __name__ == "__main__":
    main()
