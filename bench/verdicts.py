"""The judge's verdicts beside recorded ones: `python -m bench.verdicts --device cuda --seconds 300`.

Candidates of other people's runs, each with what its author's harness said of it. A seeded sample is judged until the
time is up; what was right there and is not here is judged once more at the lower precision that explains it, where one
does. Prints JSON: how many agree, and every disagreement with the reason. `--profile` times what passes, too.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.traces import default_files, records
from common.devices import Device, DeviceSettings, discover
from common.errors import UsageError
from common.judge import Judge, JudgeFault, JudgeSettings
from common.logs import configure
from common.messages import Judgement, Outcome, Stage, TaskSource
from common.settings import load

CANDIDATES = ("candidates_gpt51_triton.jsonl.gz", "candidates_mixed_cuda.jsonl.gz")
TASKS = ("tasks.jsonl.gz",)


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate and what was said of it."""

    name: str
    task: TaskSource
    source: str
    correct: bool
    speedup: float | None
    error: str
    hardware: str = ""


def read(files: Iterable[Path], tasks: Iterable[Path]) -> list[Recorded]:
    """The labelled candidates whose task is known. UsageError where a file is not of this format."""
    known = {record["task_id"]: record["source_code"] for path in tasks for record in records(path)}
    found = []
    for path in files:
        for n, record in enumerate(records(path)):
            outcome = record.get("outcome") or {}
            task = record.get("task_source") or known.get(record.get("task_id"))
            if task and record.get("kernel") and outcome.get("correct") is not None:
                found.append(Recorded(
                    name=f"{path.name}:{n}", task=TaskSource(name=record["task_id"], source=task),
                    source=record["kernel"], correct=bool(outcome["correct"]), speedup=outcome.get("speedup"),
                    error=str(outcome.get("error") or "")[:300], hardware=str(outcome.get("hardware") or ""),
                ))
    return found


def sample(candidates: Sequence[Recorded], count: int, seed: int) -> list[Recorded]:
    """As many that were right as were wrong; of one task one after the other, since its references are kept."""
    generator = random.Random(seed)
    chosen = []
    for label in (True, False):
        of_label = [c for c in candidates if c.correct is label]
        chosen += generator.sample(of_label, min(count // 2, len(of_label)))
    return by_task(chosen, generator)


def by_task(chosen: Sequence[Recorded], rng: random.Random) -> list[Recorded]:
    """Tasks in random order, the candidates of each one after the other."""
    places = {name: rng.random() for name in sorted({c.task.name for c in chosen})}
    return sorted(chosen, key=lambda c: places[c.task.name])


class Session:
    """One judge that takes candidates from the queue until the time is up."""

    def __init__(self, judge: Judge, device: Device, *, profile: bool) -> None:
        self._judge, self._device, self._profile = judge, device, profile

    async def work(self, queue: deque[Recorded], until: float, rows: list[dict[str, Any]]) -> None:
        """Until a fault, after which another judge should go on."""
        while queue and time.monotonic() < until:
            candidate = queue.popleft()
            try:
                rows.append(await self._row(candidate))
            except JudgeFault as fault:
                rows.append({"name": candidate.name, "task": candidate.task.name, "fault": str(fault)})
                return

    async def _row(self, candidate: Recorded) -> dict[str, Any]:
        began = time.monotonic()
        judged = await self._judged(candidate.task, candidate.source)
        right = judged.outcome is Outcome.PASSED
        row: dict[str, Any] = {
            "name": candidate.name, "task": candidate.task.name, "recorded_correct": candidate.correct,
            "outcome": str(judged.outcome), "agrees": right == candidate.correct, "labels": list(judged.labels),
        }
        if judged.measurement:
            measured = judged.measurement
            row |= {"speedup": measured.speedup, "low": measured.low, "high": measured.high}
            row["recorded_speedup"] = candidate.speedup
        if not right:
            row |= {"why": judged.feedback.summary, "cause": judged.feedback.cause}
        if not row["agrees"]:
            row["recorded_error"] = candidate.error
        if judged.outcome is Outcome.PRECISION_DOWNGRADE:
            allowed = msgspec.structs.replace(candidate.task, precision="bf16")
            row["where_bf16_is_allowed"] = str((await self._judged(allowed, candidate.source)).outcome)
        return row | {"seconds": round(time.monotonic() - began, 2)}

    async def _judged(self, task: TaskSource, source: str) -> Judgement:
        artefact = await self._judge.compile(task, source)
        if isinstance(artefact, Judgement):
            return artefact
        verdict = await self._judge.validate(task, artefact, self._device)
        if not self._profile or verdict.outcome is not Outcome.PASSED:
            return verdict
        return await self._judge.profile(task, artefact, self._device)


async def judge_all(
    chosen: Sequence[Recorded], device: Device, *, judges: int, seconds: float, profile: bool
) -> list[dict[str, Any]]:
    """A row for each candidate that was reached. Several judges may share a device, but not while one times.

    What failed where they shared it, and may have for want of memory, is judged again by one alone in the last third.
    """
    until, rows = time.monotonic() + seconds, list[dict[str, Any]]()

    async def one(queue: deque[Recorded], until: float) -> None:
        while queue and time.monotonic() < until:
            async with Judge(load("judge", JudgeSettings), device.kind) as judge:
                await Session(judge, device, profile=profile).work(queue, until, rows)

    queue, shared_until = deque(chosen), until - (seconds / 3 if judges > 1 else 0)
    await asyncio.gather(*(one(queue, shared_until) for _ in range(judges)))
    if judges > 1:
        doubtful = {row["name"] for row in rows if "fault" in row or "memory" in row.get("why", "").lower()}
        rows = [row for row in rows if row["name"] not in doubtful]
        await one(deque(candidate for candidate in chosen if candidate.name in doubtful), until)
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    judged = [row for row in rows if "outcome" in row]
    return {
        "judged": len(judged), "agree": sum(row["agrees"] for row in judged), "faults": len(rows) - len(judged),
        "right_there_and_here": sum(row["recorded_correct"] and row["agrees"] for row in judged),
        "right_there_alone": sum(row["recorded_correct"] and not row["agrees"] for row in judged),
        "right_here_alone": sum(not row["recorded_correct"] and not row["agrees"] for row in judged),
        "outcomes": dict(Counter(row["outcome"] for row in judged)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.verdicts", description=__doc__)
    parser.add_argument("--candidates", type=Path, nargs="+", help="recorded candidates (default: those found)")
    parser.add_argument("--tasks", type=Path, nargs="+", help="the tasks they are for")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--seconds", type=float, default=300.0, help="begin no candidate after so long")
    parser.add_argument("--count", type=int, default=200, help="candidates in the sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judges", type=int, default=1, help="side by side on the device; one with --profile")
    parser.add_argument("--profile", action="store_true", help="time what passes")
    args = parser.parse_args()
    if args.profile and args.judges > 1:
        parser.error("--profile times kernels, which nothing may disturb: leave --judges at 1")
    configure("verdicts")
    try:
        found = read(args.candidates or default_files(CANDIDATES), args.tasks or default_files(TASKS))
        devices = discover(load("devices", DeviceSettings, kind=args.device))
    except UsageError as error:
        print(f"bench.verdicts: {error}", file=sys.stderr)
        return 2
    if not found:
        print("bench.verdicts: skipped, no labelled candidates: name files with --candidates and --tasks")
        return 0
    device = next(d for d in devices if Stage.PROFILE in d.stages)
    rows = asyncio.run(judge_all(
        sample(found, args.count, args.seed), device, judges=args.judges, seconds=args.seconds, profile=args.profile
    ))
    print(json.dumps({"device": device.name, **summary(rows), "rows": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
