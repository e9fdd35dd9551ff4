"""`python -m bench.pools_gpu`: real kernels on real devices, shared in three ways, with faults, unattended.

Validators and profilers of this host (`--workers` of each a device) judge kept kernels that arrive in bursts, from
several campaigns at once: with a static split, the published rule (our reading) and ours; then once more with ours
while one worker of each stage is killed (kill -9) and one device is reported broken. Counted from the events: makespan,
utilisation, feedback, changes of role, device time by campaign, and leases of one device that overlapped (none, or a
timing was disturbed). Beside each stands the simulator's prediction from the judging times seen. Writes JSON after each
part to $OUT/pools.json where OUT is set. Needs the checkout: the kernels are those of tests/kernels.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import time
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.light.drive import BAR, drive
from bench.light.feed import Feed
from bench.light.measure import Measured, measure, stored
from bench.light.system import LightSystem, light_system
from bench.simulate.figures import Figures
from bench.simulate.system import System
from bench.simulate.workload import Candidate, Draws, Iteration, read
from bench.simulate.world import World
from common.devices import DeviceSettings, discover
from common.logs import configure
from common.messages import AttemptFailed, LeaseReleased, LeaseTaken, Message, ResultAccepted, Stage, TaskSource
from common.supervise import python_service
from scheduler.settings import SchedulerSettings
from tests.kernels.corpus import Kernel, kernels, task_source

WAYS = ("static", "published", "elastic")
PARTS = (*WAYS, "faults")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    complete: bool
    """Whether every run ended within the limit; the prediction is of complete ones."""
    measured: Measured
    predicted: Figures
    error: float
    """Of the predicted makespan."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--workers", type=int, default=2, help="validators and profilers a device")
    parser.add_argument("--runs", type=int, default=4, help="in two campaigns")
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--burst", type=int, default=3)
    parser.add_argument("--rate", type=float, default=400.0, help="tokens a second: sets how fast bursts follow")
    parser.add_argument("--kernels", type=int, default=12, help="different kernels, honest and wrong")
    parser.add_argument("--match", default="", help="only kernels whose names hold this")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=140.0, help="limit of a part")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    configure("bench")
    devices = [d.id for d in discover(DeviceSettings(kind=args.device))]
    world = World(
        devices=len(devices), runs=args.runs, iterations=args.iterations, campaigns=2, burst=args.burst,
        rate=args.rate, slowdown=0.0, seed=args.seed, forks_per_iteration=2 * args.burst,
    )
    chosen = _chosen(args)
    done: dict[str, Any] = {"devices": devices, "world": world, "kernels": [k.name for k in chosen]}
    done = msgspec.to_builtins(done)
    parts = args.parts.split(",")
    for part in parts:
        with TemporaryDirectory() as folder:
            try:
                done[part] = msgspec.to_builtins(asyncio.run(_part(part, Path(folder), world, chosen, devices, args)))
            except Exception:  # noqa: BLE001 - one part that fails leaves the others, and says why
                done[part] = {"failed": traceback.format_exc()[-2000:]}
        text = json.dumps(done, indent=1, default=str)
        if out := os.environ.get("OUT"):
            (Path(out) / "pools.json").write_text(text)
    print(text)
    return int(any("failed" in done[part] or done[part]["measured"]["overlaps"] for part in parts))


def _chosen(args: argparse.Namespace) -> list[Kernel]:
    """Three in four are honest."""
    rng = random.Random(args.seed)
    honest, wrong = ([k for k in kernels(group, args.device) if args.match in k.name] for group in ("honest", "wrong"))
    few = max(1, args.kernels // 4)
    return rng.sample(honest, min(len(honest), args.kernels - few)) + rng.sample(wrong, min(len(wrong), few))


def kernel_of(chosen: Sequence[Kernel], run: str, name: str) -> Kernel:
    return random.Random(f"{run} {name}").choice(chosen)


async def _submit(chosen: Sequence[Kernel], device: str, feed: Feed, name: str, _: Candidate, origin: str) -> None:
    """The source is made unlike any other, as a model's would be."""
    kernel = kernel_of(chosen, feed.run, name)
    task = TaskSource(name=kernel.task, source=task_source(kernel.task))
    await feed.submit(name, f"{kernel.source}\n# {feed.run} {name}\n", task, device, origin=origin)


async def _part(
    part: str, folder: Path, world: World, chosen: Sequence[Kernel], devices: Sequence[str], args: argparse.Namespace
) -> Part:
    count = args.workers * len(devices)
    services = [python_service(name, name=f"{name}-{i}") for name in ("validator", "profiler") for i in range(count)]
    way = part if part in WAYS else "elastic"
    env = {"SPECGEN_DEVICES_KIND": args.device, "SPECGEN_SCHEDULER_POOLS": way,
           "SPECGEN_SCHEDULER_QUARANTINE_SECONDS": "10"}
    async with light_system(folder, services, env=env, ready=2 * count, ready_seconds=args.seconds) as system:
        complete = await _drive(part, system, world, chosen, devices, args)
        await asyncio.sleep(1.0)
        events = await stored(system.bus)
    measured = measure(events, devices)
    predicted = predict(world, way, chosen, events)
    error = predicted.seconds / measured.seconds - 1
    return Part(complete=complete, measured=measured, predicted=predicted, error=error)


async def _drive(
    part: str, system: LightSystem, world: World, chosen: Sequence[Kernel], devices: Sequence[str],
    args: argparse.Namespace,
) -> bool:
    """False where the time was not enough."""
    submit = partial(_submit, chosen, args.device)
    try:
        async with asyncio.timeout(args.seconds), asyncio.TaskGroup() as group:
            for i in range(world.runs):
                feed = Feed(system.bus, f"r{i}")
                group.create_task(drive(feed, world, draws(world, feed.run), f"c{i % world.campaigns}", submit))
            if part == "faults":
                group.create_task(_harm(system, devices))
    except TimeoutError:
        return False
    return True


async def _harm(system: LightSystem, devices: Sequence[str]) -> None:
    """A worker of each stage dies at work; the last device is said not to answer, and is let in again later."""
    await asyncio.sleep(8.0)
    for name in ("validator-0", "profiler-0"):
        os.kill(system.pid(name), signal.SIGKILL)
    await asyncio.sleep(4.0)
    await system.bus.record(AttemptFailed(
        worker="operator", at=time.time(), stage=Stage.VALIDATE, run="none", iteration=1,
        candidate="none", attempt=1, reason="reported broken by the benchmark", device=devices[-1], quarantine=True,
    ))


def draws(world: World, run: str) -> Draws:
    """When candidates come; what they are is a matter of the kernel."""
    return Draws(read(), world.seed, run, world.service)


class Seen(Draws):
    """The same arrivals, judged as the kernels were seen to be."""

    def __init__(self, world: World, run: str, chosen: Sequence[Kernel], found: dict[str, Candidate]) -> None:
        super().__init__(read(), world.seed, run, world.service)
        self._run, self._chosen, self._found = run, chosen, found

    def iteration(self, number: int) -> Iteration:
        plan = super().iteration(number)
        return msgspec.structs.replace(plan, main=self._as_seen(plan.main, number, "main"))

    def fork(self, iteration: int, number: int, depth: float) -> Candidate:
        return self._as_seen(super().fork(iteration, number, depth), iteration, f"f{number}")

    def _as_seen(self, drawn: Candidate, iteration: int, generation: str) -> Candidate:
        """What clears the bar of `drive` clears the mean of the earlier ones, and nothing else does."""
        seen = self._found.get(kernel_of(self._chosen, self._run, f"i{iteration}{generation}").name)
        if seen is None:
            return drawn
        speedup = 2.0 + 0.01 * iteration if seen.speedup > BAR else 0.5
        return msgspec.structs.replace(seen, tokens=drawn.tokens, speedup=speedup)


def predict(world: World, pools: str, chosen: Sequence[Kernel], events: Sequence[Message]) -> Figures:
    found = _found(chosen, events)
    settings = SchedulerSettings(pools=pools)  # type: ignore[arg-type]
    world = msgspec.structs.replace(world, compile_share=_compile_share(events))
    return System(world, read(), settings, future=lambda run: Seen(world, run, chosen, found)).play()


def _found(chosen: Sequence[Kernel], events: Sequence[Message]) -> dict[str, Candidate]:
    """Of each kernel: medians of how long a device was held, before it compiling, and whether it passed."""
    results: dict[tuple[str, Stage], list[ResultAccepted]] = {}
    held: dict[tuple[str, str, Stage], float] = {}
    for event in events:
        if isinstance(event, ResultAccepted):
            results.setdefault((kernel_of(chosen, event.run, event.candidate).name, event.stage), []).append(event)
    leases = {(e.device, e.lease): e for e in events if isinstance(e, LeaseTaken)}
    for event in events:
        if isinstance(event, LeaseReleased) and event.reason == "done":
            taken = leases[event.device, event.lease]
            held[taken.run, taken.candidate, taken.stage] = event.seconds
    found = {}
    for name in {name for name, _ in results}:
        seconds = {stage: median([held.get((r.run, r.candidate, stage), 0.0) for r in results.get((name, stage), [])]
                                 or [0.0]) for stage in Stage}
        compiling = median(r.judgement.seconds.get("compile", 0.0) for r in results[name, Stage.VALIDATE])
        profiles = [r.judgement.measurement.speedup for r in results.get((name, Stage.PROFILE), [])
                    if r.judgement.measurement]
        found[name] = Candidate(
            tokens=1.0, passes=bool(results.get((name, Stage.PROFILE))), speedup=median(profiles or [0.0]),
            validate=compiling + seconds[Stage.VALIDATE], profile=seconds[Stage.PROFILE],
        )
    return found


def _compile_share(events: Sequence[Message]) -> float:
    """Of the validations' time, over all."""
    verdicts = [e for e in events if isinstance(e, ResultAccepted) and e.stage is Stage.VALIDATE]
    compiling = sum(e.judgement.seconds.get("compile", 0.0) for e in verdicts)
    on_device = sum(e.seconds for e in events if isinstance(e, LeaseReleased) and e.stage is Stage.VALIDATE)
    return min(0.95, compiling / (compiling + on_device)) if compiling else 0.0


if __name__ == "__main__":
    raise SystemExit(main())
