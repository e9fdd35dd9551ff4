"""Dispatch: how long an urgent job waits while less urgent ones saturate the workers.

Side by side: one consumer a priority (what the workers use) and one consumer over all priorities in arrival order.
"""
from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.bus.stats import latency_ms
from common.bus import Bus, BusSettings, Work
from common.messages import Job, Stage, TaskSource

WORKERS, JOB_SECONDS = 4, 0.02
URGENT, URGENT_EVERY = 20, 0.1


def job(run: str, candidate: str, priority: int) -> Job:
    return Job(
        stage=Stage.VALIDATE, priority=priority, run=run, iteration=1, candidate=candidate, attempt=1,
        issued_at=time.time(), requested_at=0.0, deadline=0.0, device="cpu", source="x" * 4096,
        task=TaskSource(name="bench", source="y" * 2048),
    )  # fmt: skip


async def measure(settings: BusSettings, *, jobs: int, priorities: bool) -> dict[str, Any]:
    """`jobs` at priority 1 wait from the start; up to 20 urgent ones arrive 0.1 s apart. Ends when all were taken."""
    run = "ranked" if priorities else "plain"
    base = "specgen.v1.job.validate"
    patterns = [f"{base}.p0.{run}.>", f"{base}.p1.{run}.>"] if priorities else [f"{base}.*.{run}.>"]
    async with await Bus.connect("bench-scheduler", settings) as bus:
        await asyncio.gather(*(bus.record(job(run, f"c{n}", 1)) for n in range(jobs)))
        waits: dict[int, list[float]] = {0: [], 1: []}
        urgent = min(URGENT, jobs)
        began = time.monotonic()
        workers = [_worker(settings, patterns, run, n, waits, jobs + urgent) for n in range(WORKERS)]
        await asyncio.gather(_send_urgent(bus, run, urgent), *workers)
        took = time.monotonic() - began
    return {
        "jobs_per_second": round((jobs + urgent) / took, 1), "most_possible": round(WORKERS / JOB_SECONDS, 1),
        "urgent_jobs": len(waits[0]), "urgent_wait_ms": latency_ms(waits[0]), "other_wait_ms": latency_ms(waits[1]),
    }  # fmt: skip


async def _send_urgent(bus: Bus, run: str, count: int) -> None:
    for n in range(count):
        await bus.record(job(run, f"u{n}", 0))
        await asyncio.sleep(URGENT_EVERY)


async def _worker(
    settings: BusSettings, patterns: list[str], run: str, n: int, waits: dict[int, list[float]], total: int
) -> None:
    """Take jobs until all were taken; a wait ends when the job is in hand."""
    async with (
        await Bus.connect(f"bench-worker-{n}", settings) as bus,
        bus.work(patterns, durable=run, ack_wait=10) as work,
    ):
        while len(waits[0]) + len(waits[1]) < total:
            await _one(work, waits)


async def _one(work: Work, waits: dict[int, list[float]]) -> None:
    task = await work.next(0.2)
    if task is not None:
        assert isinstance(task.message, Job)
        waits[task.message.priority].append(time.time() - task.message.issued_at)
        await asyncio.sleep(JOB_SECONDS)
        await task.done()
