"""Bytes per second of store and load against the device's own copy, for both kinds of device memory.

The ceiling is a plain copy of the same bytes in the same process, read and written once, as ours are: within the
device, or where another one lends the memory, from that one (loads) and to it (stores).
"""
from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from bench.kv.child import PoolChild, pool_child
from bench.kv.gear import LENDER, Worker, keys, report, timed, uuid
from bench.kv.revoking import revoke
from kvstore.engine.device import LOAD_PROGRAMS, STORE_PROGRAMS

CHUNKS = 24
"""Of 256 MiB."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("vmm", "ipc"), default="vmm")
    parser.add_argument("--layers-apart", action="store_true", help="one region a layer, not one over all")
    args = parser.parse_args()
    blocks = 1_024
    folder = Path(tempfile.mkdtemp(prefix="kv-"))
    with pool_child(folder, "--kind", args.kind, "--device", uuid(), "--most-mib", str(256 * CHUNKS)) as pool:
        grown = pool.wait_chunks(CHUNKS)
        worker = Worker(folder, blocks, cross_layers=not args.layers_apart)
        names = keys(blocks)
        into, out = _ceilings(worker)
        first = worker.store(names)
        saved = [region.clone() for region in worker.regions]
        for region in worker.regions:
            region.zero_()
        loads = [worker.load(names) for _ in range(8)]
        right = all(torch.equal(a, b) for a, b in zip(saved, worker.regions, strict=True))
        size = blocks * worker.payload
        load = statistics.median(seconds for seconds, _ in loads[1:])
        report(
            "copies", kind=args.kind, layers_apart=args.layers_apart, bytes=size, right=right,
            failed=[failed for _, failed in loads], ceiling_bytes_s={"load": into, "store": out},
            first_store_seconds=first, load_seconds=load, load_bytes_s=size / load, load_share=size / load / into,
            pool=grown,
        )
        _launches(worker, args.kind, size, into)
        _revoke(pool, worker, args.kind, names)
        _stores(worker, args.kind, out)
        worker.close()


def _launches(worker: Worker, kind: str, size: int, ceiling: float) -> None:
    """The load's own launch over memory of this process: what is lost besides is the host's."""
    copier, count = worker.copiers["load"], size // worker.payload
    page = worker.geometry.page_bytes
    lent = torch.zeros(count * page, dtype=torch.uint8, device=f"cuda:{LENDER}")
    numbers = torch.arange(count, device="cuda")
    pages = lent.data_ptr() + page * numbers
    sums = torch.zeros_like(numbers)
    seconds = timed(lambda: copier.copy(numbers, pages, load=True, sums=sums))
    report("launch", kind=kind, seconds=seconds, bytes_s=size / seconds, share=size / seconds / ceiling)


def _stores(worker: Worker, kind: str, ceiling: float) -> None:
    """By the number of programs: a store shares the GPU with decoding streams, and runs few. Without what the pool's
    answer takes."""
    count = 512
    for programs in sorted({STORE_PROGRAMS, 132, 264, LOAD_PROGRAMS}):
        worker.copiers["store"].programs = programs
        taken = []
        for n in range(6):
            slots = worker.tier.reserve("s", keys(count, 100_000 * (n + 1) + 1_000_000 * programs)).slots
            if len(slots) != count:
                raise RuntimeError(f"room for {len(slots)} of {count} blocks")
            taken.append(worker.run("store", slots)[0])
        speed = count * worker.payload / statistics.median(taken[1:])
        report("stores", kind=kind, programs=programs, live=programs == STORE_PROGRAMS, bytes_s=speed,
               share=speed / ceiling)


def _ceilings(worker: Worker) -> tuple[float, float]:
    """Bytes per second from the lender's memory and to it."""
    ours = worker.regions[0].flatten()
    lent = torch.empty_like(ours, device=f"cuda:{LENDER}")
    size = ours.numel()
    return size / timed(lambda: ours.copy_(lent)), size / timed(lambda: lent.copy_(ours))


def _revoke(pool: PoolChild, worker: Worker, kind: str, names: list[bytes]) -> None:
    """How long a peer takes to give all chunks back: idle, and while it loads from them."""
    for busy in (False, True):
        taken = []
        for _ in range(4):
            taken.append(revoke(pool, worker.tier, worker.transfers, names, busy=busy))
            pool.wait_chunks(CHUNKS)
            worker.store(names)
        report("revoke", kind=kind, busy=busy, blocks=len(names), seconds=taken, aim_seconds=0.05)


if __name__ == "__main__":
    main()
