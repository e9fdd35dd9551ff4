"""Random harm to a whole system at work: every run ends, every candidate has one verdict, nothing is left behind.

SPECGEN_TEST_SEED repeats a sequence of faults (when they strike depends on the machine).
"""
from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from bench.light.candidate import Plan, source
from bench.light.system import LightSystem, light_system, worker
from common.bus import BusSettings
from common.messages import PREFIX, Budget, Fact, Llm, RunEnded, RunSubmitted, Stage
from common.supervise import python_service
from common.task import read_task
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay
from tests.scheduler.accounts import check, processes_of
from tests.scheduler.chaos import Monkey
from tests.scheduler.clocks import Clock

SEED = os.environ.get("SPECGEN_TEST_SEED", "20260101")
DEVICES = ["d0", "d1", "d2"]
SETTINGS = {f"SPECGEN_{name}_ACK_WAIT": "2" for name in ("VALIDATOR", "PROFILER", "GENERATOR")} | {
    "SPECGEN_SCHEDULER_ATTEMPTS": "9", "SPECGEN_SCHEDULER_QUARANTINE_SECONDS": "2",
}
ITERATIONS = [
    (["passed", "wrong_values", "passed"], "passed"),
    (["runtime_error", "passed", "passed"], "passed"),
    (["passed", "compile_error", "passed"], "wrong_values"),
]


KINDS = {"kill", "kill_server", "lease", "fill", "duplicate", "clock"}


def kernel(outcome: str, variant: int) -> str:
    plan = Plan(compile=0.05, validate=0.2, profile=0.2, outcome=outcome, speedup=1.0 + variant / 10)
    return source(str(variant), plan)


def submissions(task: Path, url: str, count: int, iterations: int = 3) -> list[RunSubmitted]:
    """Stops, no stops and a budget of tokens, in turn."""
    ways = (("mean", None), ("never", None), ("first", 2500))
    return [
        RunSubmitted(
            run=f"run{i}", at=time.time(), task=read_task(task), llm=Llm(url=url, model=""), drain_seconds=60.0,
            stop=ways[i % 3][0], budget=Budget(iterations=iterations, tokens=ways[i % 3][1]),
        )
        for i in range(count)
    ]


async def ended(system: LightSystem, run: str, seconds: float) -> list[Fact]:
    """The run's facts, once it has ended."""
    facts: list[Fact] = []
    async with asyncio.timeout(seconds), system.bus.follow(f"{PREFIX}.evt.{run}.>") as feed:
        async for delivery in feed:
            if isinstance(delivery.message, Fact):
                facts.append(delivery.message)
            if delivery.caught_up and any(isinstance(fact, RunEnded) for fact in facts):
                return facts
    raise AssertionError("unreachable")


async def survive(folder: Path, *, runs: int, pace: tuple[float, float], faults: int, seconds: float) -> Monkey:
    clock = Clock(folder)
    workers = [worker(stage, DEVICES, name=f"{stage}-{i}", env={}) for stage in Stage for i in (1, 2)]
    services = [python_service("generator"), python_service("trigger"), *workers]
    settings = BusSettings(state_dir=str(folder / "state"), lease_seconds=2.0, stream_mib={"job": 1})
    task, recording = write_recording(folder, ITERATIONS, rate=250, kernel=kernel)
    with replay(recording) as url:
        async with light_system(folder, services, env=SETTINGS | clock.env, bus=settings, ready=4) as system:
            names = [service.name for service in services] + ["scheduler"]
            monkey = Monkey(system, clock, names, SEED)
            harm = asyncio.create_task(monkey.loose(*pace, faults))
            submitted = submissions(task, url, runs)
            for submission in submitted:
                await system.bus.record(submission, expect_new=True)
            try:
                logs = await asyncio.gather(*(ended(system, s.run, seconds) for s in submitted))
                if set(monkey.done) != KINDS:
                    await harm
            finally:
                harm.cancel()
                print(f"\nseed {SEED}: {len(monkey.log)} faults", *monkey.log, sep="\n  ")
            for facts in logs:
                assert check(facts).reason in ("iterations", "tokens"), f"seed {SEED}"
    await asyncio.sleep(0.2)
    assert processes_of(folder / "state") == []
    return monkey


@pytest.mark.timeout(400)
async def test_a_few_runs_survive(tmp_path: Path) -> None:
    """Ends in half a minute; the deadline is for a machine that is busy with other things."""
    monkey = await survive(tmp_path, runs=3, pace=(0.3, 1.0), faults=16, seconds=300.0)
    assert set(monkey.done) == KINDS


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("round_", range(4))
async def test_many_runs_survive(tmp_path: Path, round_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.scheduler.test_chaos.SEED", f"{SEED}-{round_}")
    monkey = await survive(tmp_path, runs=12, pace=(0.1, 1.5), faults=1000, seconds=300.0)
    assert set(monkey.done) == KINDS
