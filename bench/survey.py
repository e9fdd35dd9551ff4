"""How many claimed speedups survive this judge: `python -m bench.survey --device cuda --seconds 500`.

Candidates that their authors published as right and faster than eager. Several judges share the device and validate a
seeded sample side by side for a part of the time (`--validating`); then one judge has it for itself and times what
passed, after looking again at what may have failed for want of memory or time. A claim survives where the kernel is
right and the whole interval of its speedup lies above 1; of every other one the reason is told. Claims are from the
hardware they name, which need not be this. Prints JSON, and writes it to $OUT/survey.json on the way where OUT is set.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from bench.side_by_side import work_off
from bench.traces import default_files
from bench.verdicts import TASKS, Recorded, by_task, read
from common.devices import Device, DeviceSettings, discover
from common.errors import UsageError
from common.judge import Artefact, Judge, JudgeFault, JudgeSettings
from common.logs import configure
from common.messages import Judgement, Outcome, Stage
from common.settings import load

CANDIDATES = ("candidates_cudal1.jsonl.gz",)
_AGAIN = (Outcome.OUT_OF_MEMORY, Outcome.TIMEOUT, Outcome.INFRASTRUCTURE_ERROR)
"""What others on the device may have brought about."""


class Claim:
    """A candidate and what has been found of it so far."""

    def __init__(self, candidate: Recorded) -> None:
        self.candidate = candidate
        self.artefact: Artefact | None = None
        self.last: Judgement | None = None
        self.fault = ""

    @property
    def open(self) -> bool:
        """Whether it should be looked at again by a judge that has the device for itself."""
        return self.artefact is not None and (self.last is None or self.last.outcome in (Outcome.PASSED, *_AGAIN))

    async def validate(self, judge: Judge, device: Device) -> None:
        self.fault, self.last = "", None
        try:
            artefact = self.artefact or await judge.compile(self.candidate.task, self.candidate.source)
            if isinstance(artefact, Judgement):
                self.last = artefact
                return
            self.artefact = artefact
            self.last = await judge.validate(self.candidate.task, artefact, device)
        except JudgeFault as fault:
            self.fault = str(fault)

    async def time(self, judge: Judge, device: Device) -> None:
        """With a verdict first where the one there is may be the neighbours' fault."""
        if self.last is None or self.last.outcome is not Outcome.PASSED:
            await self.validate(judge, device)
        if self.artefact is None or self.last is None or self.last.outcome is not Outcome.PASSED:
            return
        try:
            self.last = await judge.profile(self.candidate.task, self.artefact, device)
        except JudgeFault as fault:
            self.fault = str(fault)

    def row(self) -> dict[str, Any]:
        """What was claimed and found. `reason` says why it does not survive, and is empty where it does."""
        found: dict[str, Any] = {
            "name": self.candidate.name, "task": self.candidate.task.name, "claimed": self.candidate.speedup,
            "claimed_on": self.candidate.hardware, "fault": self.fault,
        }
        if self.last is not None and not self.fault:
            found |= {"outcome": str(self.last.outcome), "labels": list(self.last.labels)}
            if measured := self.last.measurement:
                found |= {"measured": measured.speedup, "low": measured.low, "high": measured.high}
            found["reason"] = reason(self.candidate.speedup or 0.0, self.last)
        return found


def reason(claimed: float, judged: Judgement) -> str:
    """Why a claim does not survive; empty where it does, or is right and not timed yet."""
    if judged.outcome is not Outcome.PASSED:
        return f"{judged.outcome}: {judged.feedback.summary}"
    measured = judged.measurement
    if measured is None or measured.low > 1.0:
        return ""
    interval = f"{measured.low:.2f} to {measured.high:.2f}"
    return f"measured {measured.speedup:.2f} ({interval}) against a claimed {claimed:.2f}"


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Claims are settled once they have failed or were timed."""
    settled = [row for row in rows if row.get("reason") or "measured" in row]
    survive = [row for row in settled if not row["reason"]]
    why = Counter("not faster" if row["outcome"] == "passed" else row["outcome"] for row in settled if row["reason"])
    return {
        "claims": len(settled), "survive": len(survive),
        "survive_by_own_kernels": sum("library_only" not in row["labels"] for row in survive), "why_not": dict(why),
        "right_but_not_timed": sum(row.get("outcome") == "passed" and "measured" not in row for row in rows),
        "faults": sum(bool(row["fault"]) for row in rows),
    }


def sample(candidates: Sequence[Recorded], count: int, seed: int) -> list[Recorded]:
    """Claims above 1; those of one task one after the other, since its references are kept."""
    claims = [c for c in candidates if c.correct and (c.speedup or 0.0) > 1.0]
    rng = Random(seed)
    return by_task(rng.sample(claims, min(count, len(claims))), rng)


async def validate_all(claims: Sequence[Claim], device: Device, *, judges: int, until: float) -> None:
    """Side by side, until the time is up: what is under way then is given up."""
    waiting = deque(claims)

    async def one() -> None:
        async with Judge(load("judge", JudgeSettings), device.kind) as judge:
            with suppress(TimeoutError):
                async with asyncio.timeout(until - time.monotonic()):
                    await work_off(judge, waiting, lambda claim, judge: claim.validate(judge, device))

    await asyncio.gather(*(one() for _ in range(judges)))


async def time_all(claims: Sequence[Claim], device: Device, *, until: float, told: Callable[[], None]) -> None:
    """One judge for what is still open, those that passed first, until the time is up."""
    queue = sorted((c for c in claims if c.open), key=lambda c: c.last is None or c.last.outcome is not Outcome.PASSED)
    async with Judge(load("judge", JudgeSettings), device.kind) as judge:
        with suppress(TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                for claim in queue:
                    await claim.time(judge, device)
                    told()


async def survey(
    chosen: Sequence[Recorded], device: Device, *, judges: int, seconds: float, validating: float
) -> dict[str, Any]:
    began, claims = time.monotonic(), [Claim(candidate) for candidate in chosen]

    def found() -> dict[str, Any]:
        rows = [claim.row() for claim in claims if claim.last or claim.fault]
        text = {"device": device.name, "seconds": round(time.monotonic() - began, 1), **summary(rows), "rows": rows}
        if out := os.environ.get("OUT"):
            (Path(out) / "survey.json").write_text(json.dumps(text, indent=1))
        return text

    await validate_all(claims, device, judges=judges, until=began + validating * seconds)
    found()
    await time_all(claims, device, until=began + seconds, told=found)
    return found()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.survey", description=__doc__)
    parser.add_argument("--candidates", type=Path, nargs="+", help="published candidates (default: those found)")
    parser.add_argument("--tasks", type=Path, nargs="+", help="the tasks they are for, where they do not hold them")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--seconds", type=float, default=500.0, help="what is under way then is given up")
    parser.add_argument("--validating", type=float, default=0.5, help="share of the time to share the device")
    parser.add_argument("--judges", type=int, default=4, help="that validate side by side; one times")
    parser.add_argument("--count", type=int, default=120, help="claims in the sample")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    configure("bench")
    try:
        found = read(args.candidates or default_files(CANDIDATES), args.tasks or default_files(TASKS))
        devices = discover(load("devices", DeviceSettings, kind=args.device))
    except UsageError as error:
        print(f"bench.survey: {error}", file=sys.stderr)
        return 2
    chosen = sample(found, args.count, args.seed)
    if not chosen:
        print("bench.survey: skipped, no claimed speedups: name files with --candidates and --tasks")
        return 0
    device = next(d for d in devices if Stage.PROFILE in d.stages)
    print(json.dumps(asyncio.run(
        survey(chosen, device, judges=args.judges, seconds=args.seconds, validating=args.validating)
    )))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
