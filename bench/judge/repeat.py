"""How well the reported figure repeats: `python -m bench.judge.repeat --device cuda --processes 10 --aa 100`.

Tasks bound by memory and by arithmetic are sized to about 10 us, 50 us and 1 ms of eager (on a CPU to 100 us, 1 ms and
10 ms). In each of `--processes` rounds a new judge, and in it a new process for each candidate, measures an honest
kernel of every task, then eager against itself as often as `--aa` and the time allow. Of the kernels' speedups over the
rounds it tells the coefficient of variation (standard deviation of the sample over the mean); of the A/A runs, how many
intervals cover 1, and by how much two processes of the same code differ; of each figure, what its windows are made of
(`parts.py`) and where its seconds went.

`--seconds` is divided equally among the rounds and cuts A/A runs first. Prints JSON, and writes it to $OUT/repeat.json
after each round where OUT is set. What a figure may take is the judge's: SPECGEN_JUDGE_TIME_SECONDS.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bench.judge.parts import parts
from bench.judge.sized import Sized, sized
from common.devices import Device, DeviceSettings, discover
from common.errors import UsageError
from common.judge import Judge, JudgeFault, JudgeSettings
from common.judge.lane.desk import torch_device
from common.judge.lane.profile import on_cores
from common.logs import configure
from common.messages import Judgement, Outcome, Stage, TaskSource
from common.settings import load

BOUNDS = ("memory", "arithmetic")
_NORMAL_95 = 1.96
MICROSECONDS = {"cuda": (10.0, 50.0, 1000.0), "cpu": (100.0, 1000.0, 10000.0)}


class Round:
    """One judge's figures. Rows hold a figure each, or why there is none."""

    def __init__(self, number: int, judge: Judge, device: Device) -> None:
        self._number, self._judge, self._device = number, judge, device
        self.rows: list[dict[str, Any]] = []

    async def run(self, cases: Sequence[Sized], aa: Sequence[int], until: float) -> None:
        """Every case's kernel once, and eager against itself `aa` times a case while there is time.

        Each round begins with another case, so that it is not always the same ones that time is short for.
        """
        todo, first = list(zip(cases, aa, strict=True)), self._number % len(cases)
        for case, times in todo[first:] + todo[:first]:
            await self._row(case, "kernel", case.kernel)
            for _ in range(times):
                if time.monotonic() < until:
                    await self._row(case, "eager", case.eager)

    async def _row(self, case: Sized, what: str, source: str) -> None:
        began = time.monotonic()
        row: dict[str, Any] = {"case": case.name, "what": what, "round": self._number}
        try:
            row |= _figure(await self._judged(case.task, source))
        except JudgeFault as fault:
            row["error"] = str(fault)
        self.rows.append(row | {"seconds": round(time.monotonic() - began, 2)})

    async def _judged(self, task: TaskSource, source: str) -> Judgement:
        """Validated in the first round; timed outputs are checked in each."""
        artefact = await self._judge.compile(task, source)
        if isinstance(artefact, Judgement):
            return artefact
        if self._number == 0:
            verdict = await self._judge.validate(task, artefact, self._device)
            if verdict.outcome is not Outcome.PASSED:
                return verdict
        return await self._judge.profile(task, artefact, self._device)


def _figure(judged: Judgement) -> dict[str, Any]:
    measured = judged.measurement
    if judged.outcome is not Outcome.PASSED or measured is None:
        return {"error": f"{judged.outcome}: {judged.feedback.summary}"}
    return {
        "speedup": measured.speedup, "low": measured.low, "high": measured.high, "pairs": measured.pairs,
        "reference_ms": measured.reference_ms, "candidate_ms": measured.candidate_ms,
        "calls_a_window": judged.record["calls_a_window"], "between_ms": judged.record["between_ms"],
        "labels": list(judged.labels),
        "disturbed": len(judged.record["disturbed"]), "throttled": len(judged.record["throttled"]),
        "clocks": judged.record.get("clocks"), "parts_us": parts(judged.record), "spent": judged.record["spent"],
    }


def shares(total: int, cases: int, rounds: int) -> list[list[int]]:
    """So many A/A runs dealt to rounds and, in each, to cases, as evenly as can be."""
    dealt = [[0] * cases for _ in range(rounds)]
    for number in range(total):
        dealt[number * rounds // total][number % cases] += 1
    return dealt


def variation(speedups: Sequence[float]) -> dict[str, Any]:
    """Of one case over the rounds: mean, standard deviation of the sample, and the latter as a share of the former."""
    if len(speedups) < 2:
        return {"figures": len(speedups)}
    return {
        "figures": len(speedups), "mean": mean(speedups), "least": min(speedups), "most": max(speedups),
        "coefficient_of_variation": stdev(speedups) / mean(speedups),
    }


def coverage(intervals: Iterable[tuple[float, float]]) -> dict[str, Any]:
    """How many hold 1, where nothing is faster than anything."""
    covers = [low <= 1.0 <= high for low, high in intervals]
    return {"runs": len(covers), "cover": sum(covers), "share": sum(covers) / len(covers) if covers else None}


def between(figures: Sequence[Mapping[str, Any]]) -> float | None:
    """By which share two processes of the same code differ, as a standard deviation: what of the A/A runs' scatter
    about 1 their intervals, taken for normal, do not tell, but for what is in those of it (`between_ms`). None of no
    run."""
    if not figures:
        return None
    scatter = mean(math.log(row["speedup"]) ** 2 for row in figures)
    told = mean((math.log(row["high"] / row["low"]) / (2 * _NORMAL_95)) ** 2 for row in figures)
    held = mean((row["between_ms"] / row["candidate_ms"]) ** 2 for row in figures)
    return math.sqrt(max(0.0, scatter - told + held))


def summary(cases: Sequence[Sized], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By case, and over all A/A runs."""
    figures = [row for row in rows if "speedup" in row]
    eager = [row for row in figures if row["what"] == "eager"]
    by_case = {}
    for case in cases:
        kernels, same = ([r for r in figures if (r["case"], r["what"]) == (case.name, what)]
                         for what in ("kernel", "eager"))
        by_case[case.name] = {
            "eager_as_sized_us": 1e6 * case.seconds, "kernel": variation([row["speedup"] for row in kernels]),
            "reference_us": [round(1e3 * row["reference_ms"], 2) for row in kernels],
            "eager_against_itself": coverage((row["low"], row["high"]) for row in same)
            | variation([row["speedup"] for row in same]) | {"between": between(same)},
        }
    return {
        "cases": by_case, "errors": [row for row in rows if "error" in row],
        "aa": coverage((row["low"], row["high"]) for row in eager),
    }


async def one_round(
    number: int, cases: Sequence[Sized], aa: Sequence[int], device: Device, until: float
) -> list[dict[str, Any]]:
    """A judge of its own. One that fails is a row, and leaves the other rounds."""
    rows: list[dict[str, Any]] = []
    try:
        async with Judge(load("judge", JudgeSettings), device.kind) as judge:
            measured = Round(number, judge, device)
            rows = measured.rows
            await measured.run(cases, aa, until)
    except Exception:  # noqa: BLE001 - one round that fails leaves the others, and says why
        rows.append({"case": "", "what": "", "round": number, "error": traceback.format_exc()[-2000:]})
    return rows


def repeat(cases: Sequence[Sized], device: Device, *, processes: int, aa: int, seconds: float) -> dict[str, Any]:
    """All rounds, as far as the time goes: one is begun only where the kernels, as they took last, would still fit."""
    began, needed, rows = time.monotonic(), 0.0, list[dict[str, Any]]()
    found: dict[str, Any] = {"device": device.name, "rounds": 0, "rows": rows}
    for number, share in enumerate(shares(aa, len(cases), processes)):
        if number and time.monotonic() + needed > began + seconds:
            break
        until = began + seconds * (number + 1) / processes
        rows += asyncio.run(one_round(number, cases, share, device, until))
        needed = sum(row["seconds"] for row in rows if (row["round"], row["what"]) == (number, "kernel"))
        found |= {"rounds": number + 1, "seconds": round(time.monotonic() - began, 1), **summary(cases, rows)}
        if out := os.environ.get("OUT"):
            (Path(out) / "repeat.json").write_text(json.dumps(found, indent=1))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.judge.repeat", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--processes", type=int, default=10, help="rounds, each with new processes throughout")
    parser.add_argument("--aa", type=int, default=100, help="runs of eager against itself, over all cases")
    parser.add_argument("--us", type=float, nargs="+", help="microseconds of eager")
    parser.add_argument("--bounds", nargs="+", choices=BOUNDS, default=BOUNDS)
    parser.add_argument("--seconds", type=float, default=500.0, help="for all rounds together")
    args = parser.parse_args()
    configure("bench")
    try:
        devices = discover(load("devices", DeviceSettings, kind=args.device))
    except UsageError as error:
        parser.error(str(error))
    device = next(d for d in devices if Stage.PROFILE in d.stages)
    with on_cores(device.cores):
        cases = [
            sized(bound, 1e-6 * us, torch_device(device))
            for bound in args.bounds for us in args.us or MICROSECONDS[args.device]
        ]
    found = repeat(cases, device, processes=args.processes, aa=args.aa, seconds=args.seconds)
    print(json.dumps(found))
    return int(bool(found["errors"]))


if __name__ == "__main__":
    raise SystemExit(main())
