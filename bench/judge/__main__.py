"""The comparison as a command; see the package."""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

import msgspec

import bench.judge
from bench.side_by_side import work_off
from bench.traces import default_files
from bench.verdicts import TASKS, Recorded, read
from common.devices import Device, DeviceSettings, discover
from common.errors import UsageError
from common.judge import Artefact, Judge, JudgeFault, JudgeSettings
from common.logs import configure
from common.messages import Judgement, Outcome, Stage
from common.messages.campaign import TaskSource
from common.settings import load
from common.task import read_task
from generator.extract import extract

STAGES = ("compile", "validate", "profile", "pairs")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_MODULE = """
import torch

class {name}(torch.nn.Module):
    def forward(self, x):
        return x + 1

def get_inputs():
    return [torch.randn(4, 4)]

def get_init_inputs():
    return []
"""
_TRIFLE, _TRIFLE_AGAIN = TaskSource(name="trifle", source=_MODULE.format(name="Model")), _MODULE.format(name="ModelNew")


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


def sample(recorded: Sequence[Recorded], count: int, each: int, seed: int) -> list[Recorded]:
    """About `count` candidates, right and wrong ones as they come: `each` of any task drawn that has so many."""
    rng, of_task = random.Random(seed), defaultdict[str, list[Recorded]](list)
    for candidate in recorded:
        of_task[candidate.task.name].append(candidate)
    enough = sorted(name for name, there in of_task.items() if len(there) >= each)
    drawn = rng.sample(enough, min(max(1, count // each), len(enough)))
    return [candidate for name in drawn for candidate in rng.sample(of_task[name], each)]


class Ours:
    """This project's judges with a cache of their own, empty at first. As the services' leases have it, whoever
    validates or times has the device alone."""

    def __init__(self, validators: Sequence[Judge], profiler: Judge, device: Device) -> None:
        self._validators, self._profiler, self._device = validators, profiler, device

    async def warm_up(self) -> None:
        """Judges are services that have been started long before a candidate comes, so that is no part of a pass."""
        judges = [self._profiler, *self._validators]
        artefacts = await asyncio.gather(*(judge.compile(_TRIFLE, _TRIFLE_AGAIN) for judge in judges))
        for judge, artefact in zip(judges, artefacts, strict=True):
            assert isinstance(artefact, Artefact), artefact
            judged = await judge.validate(_TRIFLE, artefact, self._device)
            assert judged.outcome is Outcome.PASSED, judged

    async def run(self, candidates: Sequence[Recorded]) -> dict[str, Any]:
        began, lease = time.monotonic(), asyncio.Lock()
        rows = [Row(candidate, self._device, lease, began) for candidate in candidates]
        waiting = deque(rows)
        await asyncio.gather(*(work_off(judge, waiting, self._one) for judge in self._validators))
        return {"seconds": time.monotonic() - began, "rows": [row.told() for row in rows]}

    async def _one(self, row: Row, judge: Judge) -> None:
        await row.validate(judge)
        if row.right:
            await row.profile(self._profiler)


class Row:
    """One candidate's way through the judges: what was found and how long each step took."""

    def __init__(self, candidate: Recorded, device: Device, lease: asyncio.Lock, began: float) -> None:
        self._candidate, self._device, self._lease = candidate, device, lease
        self._began = self._ended = began
        self._stages = dict[str, dict[str, float]]()
        self._artefact: Artefact | None = None
        self._last: Judgement | None = None
        self.fault = ""
        """Of the judge itself."""

    @property
    def right(self) -> bool:
        return self._last is not None and self._last.outcome is Outcome.PASSED

    async def validate(self, judge: Judge) -> None:
        with self._faults():
            queue, began = self._waited(), time.monotonic()
            artefact = await judge.compile(self._candidate.task, self._candidate.source)
            self._ended = time.monotonic()
            self._stages["compile"] = {"queue": queue, "other": self._ended - began}
            if isinstance(artefact, Judgement):
                self._last = artefact
                return
            self._artefact = artefact
            work = judge.validate(self._candidate.task, artefact, self._device)
            self._last = await self._staged("validate", work)

    async def profile(self, judge: Judge) -> None:
        assert self._artefact
        with self._faults():
            work = judge.profile(self._candidate.task, self._artefact, self._device)
            self._last = await self._staged("profile", work)
            self._stages["pairs"] = self._last.record.get("spent", {})

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except JudgeFault as fault:
            self.fault = str(fault)

    async def _staged(self, name: str, work: Awaitable[Judgement]) -> Judgement:
        """The judgement; its seconds by step are noted, `other` is what no step names: the way there and back."""
        async with self._lease:
            queue, began = self._waited(), time.monotonic()
            judgement = await work
            self._ended = time.monotonic()
        steps = judgement.seconds
        self._stages[name] = steps | {"queue": queue, "other": self._ended - began - sum(steps.values())}
        return judgement

    def _waited(self) -> float:
        """Seconds since the last stage, or since all came in."""
        return time.monotonic() - self._ended

    def told(self) -> dict[str, Any]:
        measured = self._last.measurement if self._last else None
        return {
            "name": self._candidate.name, "seconds": self._ended - self._began, "fault": self.fault,
            "outcome": str(self._last.outcome) if self._last else "", "stages": self._stages,
            "speedup": measured.speedup if measured else None,
            "low": measured.low if measured else None, "high": measured.high if measured else None,
            "pairs": measured.pairs if measured else 0,
        }


class Plain:
    """The plain harness, each candidate in a process and with a build folder of its own."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind

    async def run(self, candidates: Sequence[Recorded], until: float) -> dict[str, Any]:
        """One after the other; none is begun after `until`."""
        began, rows = time.monotonic(), list[dict[str, Any]]()
        for candidate in candidates:
            if time.monotonic() < until:
                rows.append(await self._one(candidate))
        return {"seconds": time.monotonic() - began, "rows": rows}

    async def _one(self, candidate: Recorded) -> dict[str, Any]:
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
        return {"name": candidate.name, "seconds": time.monotonic() - began, **found}


async def compare(
    candidates: Sequence[Recorded], device: Device, folder: Path, *, judges: int, seconds: float
) -> dict[str, Any]:
    """Two passes over the candidates, both harnesses taking turns; no pass of either begins after `seconds`."""
    settings = msgspec.structs.replace(load("judge", JudgeSettings), cache=str(folder / "cache"))
    plain, until, result = Plain(folder, device.kind), time.monotonic() + seconds, dict[str, Any]()
    async with AsyncExitStack() as stack:
        profiler, *validators = [
            await stack.enter_async_context(Judge(settings, device.kind)) for _ in range(judges + 1)
        ]
        ours = Ours(validators, profiler, device)
        await ours.warm_up()
        for name in ("cold", "warm"):
            if time.monotonic() < until:
                result[name] = figures(await ours.run(candidates), await plain.run(candidates, until))
    return result


def figures(ours: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Candidates a minute of both, and our mean seconds by stage and step; `pairs` are the steps of `time`. No ratio
    where the plain harness has not come through the same candidates: some take ten times as long as others. It is
    `at_least` what it would be if those left took plain no time at all."""
    rates = {side: 60 * len(of["rows"]) / of["seconds"] for side, of in (("ours", ours), ("plain", plain))}
    rows = ours["rows"]
    widths = [(row["high"] - row["low"]) / row["speedup"] for row in rows if row["speedup"]]
    return {
        "candidates": len(rows), "faults": sum(bool(row["fault"]) for row in rows), "timed": len(widths),
        "plain_candidates": len(plain["rows"]),
        "ours_a_minute": rates["ours"], "plain_a_minute": rates["plain"],
        "ratio": rates["ours"] / rates["plain"] if len(plain["rows"]) == len(rows) else None,
        "at_least": plain["seconds"] / ours["seconds"],
        "mean_pairs": mean([row["pairs"] for row in rows if row["pairs"]] or [0]),
        "median_width": median(widths) if widths else None,
        "mean_seconds": {stage: _means([row["stages"].get(stage) for row in rows]) for stage in STAGES},
        "ours": ours, "plain": plain,
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
    parser.add_argument("--each", type=int, default=1, help="of them for the same task, where they are recorded ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judges", type=int, help="that compile and validate (default: 2 on a GPU, else 1)")
    parser.add_argument("--seconds", type=float, default=600.0, help="begin nothing after so long")
    args = parser.parse_args()
    configure("bench")
    try:
        if args.candidates:
            recorded = read(args.candidates, args.tasks or default_files(TASKS))
            found = sample(recorded, args.count, args.each, args.seed)
        else:
            found = bundled(args.device)[: args.count]
        devices = discover(load("devices", DeviceSettings, kind=args.device))
    except UsageError as error:
        print(f"bench.judge: {error}", file=sys.stderr)
        return 2
    device = next(d for d in devices if Stage.PROFILE in d.stages)
    judges = args.judges or (2 if args.device == "cuda" else 1)
    # In the checkout: a candidate has a /tmp of its own.
    home = Path(__file__).parents[2] / ".cache"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix="bench-") as folder:
        result = asyncio.run(compare(found, device, Path(folder), judges=judges, seconds=args.seconds))
    print(json.dumps({"device": device.name, **result}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
