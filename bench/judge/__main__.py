"""The comparison as a command; see the package."""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec

import bench.judge
from bench.traces import default_files
from bench.verdicts import TASKS, Recorded, read, sample
from common.devices import Device, DeviceSettings, discover
from common.errors import UsageError
from common.judge import Judge, JudgeSettings
from common.logs import configure
from common.messages import Judgement, Outcome, Stage
from common.settings import load
from common.task import read_task
from generator.extract import extract

STAGES = ("compile", "validate", "profile", "pairs")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def bundled(kind: str) -> list[Recorded]:
    """The kernels of the examples' recordings, in C++ for a CPU and in Triton for a GPU."""
    recording, suffix = ("recording-cuda", "_large.py") if kind == "cuda" else ("recording", "")
    found = []
    for example in sorted(path.parent for path in EXAMPLES.glob("*/task.py")):
        task = read_task(example / (f"{example.name}{suffix}" if suffix else "task.py"))
        for path in sorted((example / recording).glob("*/[af]*.md")):
            if source := extract(path.read_text()).source:
                found.append(Recorded(
                    name=f"{example.name}/{path.parent.name}/{path.stem}", task=task, source=source, correct=True,
                    speedup=None, error="",
                ))
    return found


class Ours:
    """This project's judge with a cache of its own, empty at first."""

    def __init__(self, judge: Judge, device: Device) -> None:
        self._judge, self._device = judge, device

    async def run(self, candidate: Recorded) -> dict[str, Any]:
        began, stages = time.monotonic(), dict[str, dict[str, float]]()
        last = artefact = await self._judge.compile(candidate.task, candidate.source)
        stages["compile"] = {"other": time.monotonic() - began}
        if not isinstance(artefact, Judgement):
            last = await self._staged(stages, "validate", self._judge.validate(candidate.task, artefact, self._device))
            if last.outcome is Outcome.PASSED:
                profile = self._judge.profile(candidate.task, artefact, self._device)
                last = await self._staged(stages, "profile", profile)
                stages["pairs"] = last.record.get("spent", {})
        assert isinstance(last, Judgement)
        return {
            "seconds": time.monotonic() - began, "outcome": str(last.outcome), "stages": stages,
            "speedup": last.measurement.speedup if last.measurement else None,
            "pairs": last.measurement.pairs if last.measurement else 0,
        }

    async def _staged(
        self, stages: dict[str, dict[str, float]], name: str, work: Awaitable[Judgement]
    ) -> Judgement:
        """The judgement; its seconds by step are noted, `other` is what no step names: the way there and back."""
        began = time.monotonic()
        judgement = await work
        steps = judgement.seconds
        stages[name] = steps | {"other": time.monotonic() - began - sum(steps.values())}
        return judgement


class Plain:
    """The plain harness, each candidate in a process and with a build folder of its own."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind

    async def run(self, candidate: Recorded) -> dict[str, Any]:
        place = self._folder / candidate.name.replace("/", "-")
        place.mkdir(exist_ok=True)
        (place / "task.py").write_text(candidate.task.source)
        (place / "kernel.py").write_text(candidate.source)
        env = os.environ | {"TORCH_EXTENSIONS_DIR": str(place), "TRITON_CACHE_DIR": str(place / "triton")}
        files = str(place / "task.py"), str(place / "kernel.py")
        words = [sys.executable, "-m", "bench.judge.plain", *files, self._kind]
        began = time.monotonic()
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, env=env, timeout=900)
        found = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-300:]}
        return {"seconds": time.monotonic() - began, **found}


async def compare(candidates: Sequence[Recorded], device: Device, folder: Path, seconds: float) -> dict[str, Any]:
    """Two passes over the candidates, both harnesses taking turns; what the time allows of the second."""
    settings = msgspec.structs.replace(load("judge", JudgeSettings), cache=str(folder / "cache"))
    plain, until = Plain(folder, device.kind), time.monotonic() + seconds
    passes: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": []}
    async with Judge(settings, device.kind) as judge:
        ours = Ours(judge, device)
        for name, rows in passes.items():
            for candidate in candidates if name == "cold" else candidates[: len(passes["cold"])]:
                if time.monotonic() > until:
                    break
                rows.append({
                    "name": candidate.name, "ours": await ours.run(candidate), "plain": await plain.run(candidate)
                })
    return {name: figures(rows) | {"rows": rows} for name, rows in passes.items() if rows}


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Candidates a minute of both, and our mean seconds by stage and step; `pairs` are the steps of `time`."""
    totals = {side: sum(row[side]["seconds"] for row in rows) for side in ("ours", "plain")}
    return {
        "candidates": len(rows), "ours_a_minute": 60 * len(rows) / totals["ours"],
        "plain_a_minute": 60 * len(rows) / totals["plain"], "ratio": totals["plain"] / totals["ours"],
        "mean_pairs": mean([row["ours"]["pairs"] for row in rows if row["ours"]["pairs"]] or [0]),
        "mean_seconds": {stage: _means([row["ours"]["stages"].get(stage) for row in rows]) for stage in STAGES},
    }


def _means(found: Sequence[dict[str, float] | None]) -> dict[str, float]:
    """Over those that came to this stage; the longest step first."""
    there = [steps for steps in found if steps]
    sums = Counter[str]()
    for steps in there:
        sums.update(steps)
    return {step: round(total / len(there), 4) for step, total in sums.most_common()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.judge", description=bench.judge.__doc__)
    parser.add_argument("--candidates", type=Path, nargs="+", help="recorded candidates (default: the examples' own)")
    parser.add_argument("--tasks", type=Path, nargs="+", help="the tasks they are for")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin nothing after so long")
    args = parser.parse_args()
    configure("bench")
    try:
        if args.candidates:
            found = sample(read(args.candidates, args.tasks or default_files(TASKS)), args.count, args.seed)
        else:
            found = bundled(args.device)[: args.count]
        devices = discover(load("devices", DeviceSettings, kind=args.device))
    except UsageError as error:
        print(f"bench.judge: {error}", file=sys.stderr)
        return 2
    device = next(d for d in devices if Stage.PROFILE in d.stages)
    # In the checkout: a candidate has a /tmp of its own.
    home = Path(__file__).parents[2] / ".cache"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix="bench-") as folder:
        result = asyncio.run(compare(found, device, Path(folder), args.seconds))
    print(json.dumps({"device": device.name, **result}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
