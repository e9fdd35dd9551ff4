"""What copies of a pool's blocks do to timings: with no traffic, with traffic that is paused, with traffic forced on.

Timed are kernels of about 50 µs and 1 ms, bound by memory and by arithmetic. The traffic is loads from the pool by
another process, one after the other: `--traffic FOLDER` is that process.
"""
from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.kv.child import PoolChild, pool_child
from bench.kv.gear import LENDER, Worker, keys, once, report, uuid

BLOCKS = 512
_RETRY_SECONDS = 0.05


def traffic(folder: Path) -> None:
    """Load for ever; a pause makes loads fail at once, then they are tried again now and then. Ends with its stdin.

    A failed load has asked the GPU for an event of this process, which alone can set a kernel of another one back.
    """
    worker = Worker(folder, BLOCKS)
    worker.store(keys(BLOCKS))
    time.sleep(0.2)
    print("ready", flush=True)
    while True:
        slots = worker.tier.pin(keys(BLOCKS)) if worker.tier.find("t", keys(BLOCKS), 0) else None
        if not slots or worker.run("load", slots)[1]:
            time.sleep(_RETRY_SECONDS)


def measure(name: str, work: Callable[[], object], repeats: int) -> dict[str, object]:
    """Microseconds a call, each call timed by itself."""
    times = sorted(once(work) * 1e6 for _ in range(repeats))
    return {
        "kernel": name, "median_us": statistics.median(times), "mean_us": statistics.fmean(times),
        "p90_us": times[int(0.9 * repeats)], "p99_us": times[int(0.99 * repeats)], "most_us": times[-1],
    }


def series(label: str, **more: object) -> None:
    """Sums of 64 MiB and 1 GiB (each read and written once) and bf16 products of square matrices."""
    x, y = (torch.empty(2**28, device="cuda") for _ in range(2))
    a, b = (torch.ones(6_656, 6_656, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    few, less = 2**24, (slice(2_560), slice(2_560))
    for name, work, repeats in (
        ("sum of 64 MiB", lambda: torch.add(x[:few], 1.0, out=y[:few]), 400),
        ("sum of 1 GiB", lambda: torch.add(x, 1.0, out=y), 200),
        ("product of 2,560", lambda: a[less] @ b[less], 400),
        ("product of 6,656", lambda: a @ b, 200),
    ):
        measure(name, work, 20)
        report("disturbance", traffic=label, **measure(name, work, repeats), **more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traffic", type=Path)
    parser.add_argument("--kind", choices=("vmm", "ipc"), default="vmm")
    args = parser.parse_args()
    if args.traffic:
        traffic(args.traffic)
        return
    torch.cuda.set_device(LENDER)
    folder = Path(tempfile.mkdtemp(prefix="kv-"))
    with pool_child(folder, "--kind", args.kind, "--device", uuid(), "--most-mib", "4096") as pool:
        pool.wait_chunks(16)
        series("none")
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.kv.disturbance", "--traffic", str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        try:
            if child.stdout.readline().strip() != "ready":
                raise RuntimeError(f"the traffic ended with {child.wait()}")
            _with_traffic(pool)
        finally:
            child.kill()
            child.wait()


def _with_traffic(pool: PoolChild) -> None:
    series("forced")
    reserved = pool.ask("reserve", bytes=1, quiet=True)
    series("paused", granted=reserved["granted"], pause_seconds=reserved["seconds"])
    pool.ask("release")
    time.sleep(0.2)
    series("forced again")


if __name__ == "__main__":
    main()
