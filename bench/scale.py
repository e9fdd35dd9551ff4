"""`python -m bench.scale`: what scheduling costs as runs and workers grow.

Real processes and a real server on this machine; jobs hold a device for 20 ms a stage and do nothing. A run proposes
all its candidates at once. Prints a line a cell, or JSON with --json: throughput, CPU of each part as a share of one
core, memory, stored messages a second. A part near 100 % is where it bends, or the machine as a whole.
"""
from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench.light.candidate import Plan
from bench.light.feed import Feed
from bench.light.measure import measure, stored
from bench.light.system import LightSystem, light_system, worker
from common.background import background
from common.logs import configure
from common.messages import PREFIX, Stage

_A_PROCESS = 16
"""Workers in one process."""
_PLAN = Plan(validate=0.02, profile=0.02)
_TICKS = os.sysconf("SC_CLK_TCK")
_HISTORIES = ("evt", "ops", "res")


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    runs: int
    workers: int
    """Of each stage, and devices."""
    candidates: int
    seconds: float
    jobs_per_second: float
    cpu: dict[str, float]
    """Share of one core: scheduler, server, workers, and the runs themselves (this process)."""
    scheduler_mib: float
    server_mib: float
    stored_per_second: float
    stored_per_job: float
    overlaps: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default="1,10,100")
    parser.add_argument("--workers", default="1,8,64")
    parser.add_argument("--candidates", type=int, default=600, help="of all runs, where there are many workers")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    configure("bench")
    cells = []
    for workers in map(int, args.workers.split(",")):
        for runs in map(int, args.runs.split(",")):
            with TemporaryDirectory() as folder:
                candidates = max(runs, min(args.candidates, 100 * workers))
                cells.append(asyncio.run(cell(Path(folder), runs, workers, candidates)))
            print(_line(cells[-1]), file=sys.stderr if args.json else sys.stdout, flush=True)
    if args.json:
        print(msgspec.json.encode({"cores": os.cpu_count(), "cells": cells}).decode())
    return 0


async def cell(folder: Path, runs: int, workers: int, candidates: int) -> Cell:
    devices = [f"d{i}" for i in range(workers)]
    services = [
        worker(stage, devices, name=f"{stage}-{first}", env={}, workers=min(_A_PROCESS, workers - first))
        for stage in Stage for first in range(0, workers, _A_PROCESS)
    ]
    env = {"SPECGEN_SCHEDULER_WAITING_LIMIT": str(2 * candidates), "SPECGEN_SCHEDULER_ATTEMPT_SECONDS": "900"}
    async with light_system(folder, services, env=env, ready=2 * workers) as system, background() as tasks:
        feeds = [Feed(system.bus, f"r{i}") for i in range(runs)]
        before, since, at = _cpu(system), await _stored(system), time.monotonic()
        for feed in feeds:
            await feed.start()
            await feed.open_iteration()
            tasks.start(feed.take_results())
        await asyncio.gather(*(_propose(feed, candidates // runs) for feed in feeds))
        await asyncio.gather(*(feed.until_settled(600.0) for feed in feeds))
        seconds = time.monotonic() - at
        after, until = _cpu(system), await _stored(system)
        memory = _mib(system.pid("scheduler")), _mib(system.server.pid)
        for feed in feeds:
            await feed.end_iteration()
            await feed.end()
        measured = measure(await stored(system.bus), devices)
    jobs = 2 * (candidates // runs) * runs
    return Cell(
        runs=runs, workers=workers, candidates=jobs // 2, seconds=round(seconds, 2),
        jobs_per_second=round(jobs / seconds, 1),
        cpu={name: round((after[name] - before[name]) / seconds, 3) for name in after},
        scheduler_mib=memory[0], server_mib=memory[1], stored_per_second=round((until - since) / seconds, 1),
        stored_per_job=round((until - since) / jobs, 2), overlaps=measured.overlaps,
    )


async def _propose(feed: Feed, count: int) -> None:
    for number in range(count):
        await feed.propose(f"f{number}", _PLAN)


def _cpu(system: LightSystem) -> dict[str, float]:
    """CPU seconds so far."""
    processes = system.supervisor.processes
    return {
        "scheduler": _seconds(system.pid("scheduler")), "server": _seconds(system.server.pid),
        "workers": sum(_seconds(p.pid) for name, p in processes.items() if name != "scheduler"),
        "runs": _seconds(os.getpid()),
    }


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


async def _stored(system: LightSystem) -> int:
    """Messages in the streams of facts and results."""
    return sum([len(await system.bus.history(f"{PREFIX}.{name}.>", raw=True)) for name in _HISTORIES])


def _line(c: Cell) -> str:
    cpu = ", ".join(f"{name} {share:.0%}" for name, share in c.cpu.items())
    return (f"{c.runs:4} runs, {c.workers:3} workers: {c.jobs_per_second:6.1f} jobs/s of {2 * c.candidates} in "
            f"{c.seconds:.1f} s; CPU {cpu}; scheduler {c.scheduler_mib:.0f} MiB, server {c.server_mib:.0f} MiB; "
            f"{c.stored_per_second:.0f} stored/s, {c.stored_per_job:.1f} a job")


if __name__ == "__main__":
    raise SystemExit(main())
