"""kill -9 of any service, or of the server, at seeded moments: runs end, each candidate has one final outcome."""
from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from common.messages import Budget, GenerationEnded, GenerationStarted, IterationEnded, Message, RunEnded
from common.report.summary import summarise
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay
from tests.pipeline.system import System, descendants, outcomes, system

ITERATIONS = [(["passed", "wrong_values"], "passed"), (["runtime_error", "passed"], "passed"), (["passed"], "passed")]
SERVICES = ("generator", "trigger", "scheduler", "validator", "profiler", "nats-server")
SEED = int(os.environ.get("SPECGEN_TEST_SEED", "20260101"))
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    task, recording = write_recording(tmp_path_factory.mktemp("material"), ITERATIONS, rate=250)
    with replay(recording) as url:
        yield task, url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with system(tmp_path_factory.mktemp("up") / "state") as running:
        yield running


def kill_one(up: System, name: str) -> bool:
    """kill -9 a service, or the server."""
    if name != "nats-server":
        return bool(up.kill(name))
    servers = [pid for pid, line in descendants(up.process.pid).items() if "nats-server -c" in line]
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    return bool(servers)


def accounted(events: list[Message]) -> None:
    """What must hold of any run's events, however it was disturbed."""
    started = {(e.iteration, e.generation) for e in events if isinstance(e, GenerationStarted)}
    ended = [(e.iteration, e.generation) for e in events if isinstance(e, GenerationEnded)]
    assert sorted(started) == sorted(ended), "each generation ends once"
    iterations = [e.iteration for e in events if isinstance(e, IterationEnded)]
    assert iterations == list(range(1, len(iterations) + 1)), "each iteration ends once, in order"
    assert len([e for e in events if isinstance(e, RunEnded)]) == 1
    assert outcomes(events)


@pytest.mark.parametrize("name", SERVICES)
async def test_one_service_dies(up: System, material: tuple[Path, str], name: str) -> None:
    """Once while the reasoning streams and once while results are awaited."""
    task, url = material
    generator = random.Random(f"{SEED} {name}")
    run = await up.submit(f"one-{name}", task, url, budget=Budget(iterations=2), stop="never")
    killing = asyncio.create_task(up.ended(run))
    kills = 0
    for _ in range(2):
        await asyncio.sleep(generator.uniform(0.5, 3.0))
        kills += kill_one(up, name)
    events = await killing
    assert kills >= 1
    accounted(events)
    summary = summarise(events)
    assert (summary.reason, len(summary.iterations)) == ("iterations", 2), f"seed {SEED}"
    mains = [e for e in events if isinstance(e, GenerationEnded) and e.generation == "main"]
    assert all(e.reason == "finished" and e.answer_tokens > 50 for e in mains), "the main answer is never lost"
    assert summary.tokens["main"].reasoning == sum(e.reasoning_tokens for e in mains) > 1000


async def test_everything_dies_at_random_moments(up: System, material: tuple[Path, str]) -> None:
    task, url = material
    generator = random.Random(SEED)
    runs = [await up.submit(f"all-{i}", task, url, budget=Budget(iterations=3)) for i in range(2)]
    ended = asyncio.gather(*(up.ended(run) for run in runs))
    kills = []
    while not ended.done() and len(kills) < 8:
        await asyncio.sleep(generator.uniform(0.3, 2.0))
        name = generator.choice(SERVICES)
        if kill_one(up, name):
            kills.append(name)
    for events in await ended:
        accounted(events)
        assert summarise(events).reason == "iterations", f"seed {SEED}, kills {kills}"


async def test_a_rolling_restart_under_load_loses_nothing(up: System, material: tuple[Path, str]) -> None:
    """Every service is asked to end in turn, as an update would, while a run is under way; each is started again."""
    task, url = material
    run = await up.submit("rolling", task, url, budget=Budget(iterations=3), stop="never")
    ended = asyncio.create_task(up.ended(run))
    for name in ("trigger", "scheduler", "generator", "validator", "profiler"):
        before = up.pids(name)
        for pid in before:
            os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(60):
            while set(before) & set(up.pids(name)) or not up.pids(name):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    events = await ended
    accounted(events)
    summary = summarise(events)
    assert (summary.reason, len(summary.iterations)) == ("iterations", 3)
    assert summary.attempts_failed == 0, "a service that ends in order hands its work back"
    assert {i.reason for i in summary.iterations} <= {"answered", "stopped"}
