"""Workers killed with kill -9 at every point of a job's way: nothing is lost, nothing is judged twice."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from common.messages import (
    PREFIX,
    AttemptStarted,
    Budget,
    CandidateProposed,
    CandidateSettled,
    Fact,
    IterationEnded,
    Message,
    Profile,
    ResultAccepted,
    Stage,
    Verdict,
)
from common.report.summary import summarise
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay
from tests.pipeline.system import System, outcomes, system

ITERATIONS = [
    (["passed", "wrong_values", "passed", "compile_error"], "passed"),
    (["runtime_error", "passed", "passed", "wrong_shape"], "passed"),
    (["passed", "passed", "wrong_values", "passed"], "wrong_values"),
    (["passed", "runtime_error", "passed", "passed"], "passed"),
]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    task, recording = write_recording(tmp_path_factory.mktemp("material"), ITERATIONS)
    with replay(recording) as url:
        yield task, url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with system(tmp_path_factory.mktemp("up") / "state") as running:
        yield running


async def kill_on(up: System, pattern: str, chosen: type[Message], every: int, module: str, kills: list[str]) -> None:
    """kill -9 the worker at the first message of a kind and at every `every`th after it."""
    seen = 0
    async with up.bus.listen(f"{PREFIX}.{pattern}") as feed:
        async for delivery in feed:
            if isinstance(delivery.message, chosen):
                seen += 1
                if seen % every == 1 and up.kill(module):
                    kills.append(module)


@pytest.mark.parametrize(("iterations", "every"), [(1, 10), pytest.param(4, 5, marks=pytest.mark.soak)])
async def test_the_outcomes_are_those_of_an_undisturbed_run(
    up: System, material: tuple[Path, str], iterations: int, every: int
) -> None:
    """Validators and profilers die while they compile or judge, and right after a result was published."""
    task, url = material
    calm, killed = f"calm{iterations}", f"killed{iterations}"
    reference = await up.ended(await up.submit(calm, task, url, stop="never", iterations=iterations))
    kills: list[str] = []
    async with asyncio.TaskGroup() as group:
        killers = [
            group.create_task(kill_on(up, "ops.*.attempt.started", AttemptStarted, every + 2, "validator", kills)),
            group.create_task(kill_on(up, "ops.*.attempt.started", AttemptStarted, every + 5, "profiler", kills)),
            group.create_task(kill_on(up, f"res.validate.{killed}.>", Verdict, every, "validator", kills)),
            group.create_task(kill_on(up, f"res.profile.{killed}.>", Profile, every, "profiler", kills)),
        ]
        disturbed = await up.ended(await up.submit(killed, task, url, stop="never", iterations=iterations))
        for killer in killers:
            killer.cancel()
    assert len(outcomes(reference)) == 5 * iterations
    assert outcomes(disturbed) == outcomes(reference)
    assert {"validator", "profiler"} <= set(kills) and len(kills) >= 4
    assert one_result_a_stage(disturbed)


async def test_a_run_with_stops_settles_every_candidate_once(up: System, material: tuple[Path, str]) -> None:
    task, url = material
    kills: list[str] = []
    async with asyncio.TaskGroup() as group:
        killer = group.create_task(kill_on(up, "ops.*.attempt.started", AttemptStarted, 5, "validator", kills))
        events = await up.ended(await up.submit("stopped", task, url, stop="first", budget=Budget(iterations=3)))
        killer.cancel()
    assert outcomes(events)
    assert kills
    ends = [e for e in events if isinstance(e, IterationEnded)]
    assert [e.iteration for e in ends] == [1, 2, 3], "an iteration ends once"
    assert any(e.reason == "stopped" for e in ends)


async def test_two_runs_at_once_do_not_mix(up: System, material: tuple[Path, str]) -> None:
    task, url = material
    names = ("left", "right")
    await asyncio.gather(*(up.submit(name, task, url, stop="never", budget=Budget(iterations=2)) for name in names))
    logs = dict(zip(names, await asyncio.gather(*(up.ended(name) for name in names)), strict=True))
    for name, events in logs.items():
        assert {e.run for e in events if isinstance(e, Fact)} == {name}
        assert summarise(events).reason == "iterations"
    assert outcomes(logs["left"]) == outcomes(logs["right"])
    for stage in Stage:
        stored = await up.bus.history(f"{PREFIX}.res.{stage}.left.>")
        assert {d.message.run for d in stored if d.message} == {"left"}  # type: ignore[attr-defined]


def one_result_a_stage(events: list[Message]) -> bool:
    accepted = [(e.candidate, e.stage) for e in events if isinstance(e, ResultAccepted)]
    proposed = [e.candidate for e in events if isinstance(e, CandidateProposed)]
    settled = [e.candidate for e in events if isinstance(e, CandidateSettled)]
    return len(accepted) == len(set(accepted)) and sorted(proposed) == sorted(settled)
