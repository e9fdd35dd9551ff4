"""What early stopping depends on: at a hundred times the token rate the reasoning ends before the judge does."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from common.messages import Budget, GenerationEnded, Message
from common.report.summary import Summary, summarise
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay
from tests.pipeline.system import System, outcomes, system
from tests.pipeline.test_run import specgen

ITERATIONS = [(["passed", "passed"], "passed"), (["passed", "passed"], "passed"), (["passed"], "passed")]
SLOW, FAST = 60.0, 6000.0
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_recording(tmp_path_factory.mktemp("material"), ITERATIONS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with system(tmp_path_factory.mktemp("up") / "state") as running:
        yield running


def stopped_early(events: list[Message]) -> int:
    """Iterations whose reasoning was cut by a measured candidate."""
    assert outcomes(events)
    summary: Summary = summarise(events)
    assert (summary.reason, len(summary.iterations)) == ("iterations", 3)
    mains = [e for e in events if isinstance(e, GenerationEnded) and e.generation == "main"]
    return sum(e.reason == "aborted" for e in mains)


async def test_a_hundred_times_the_rate_ends_correctly_with_fewer_early_stops(
    up: System, material: tuple[Path, Path]
) -> None:
    task, recording = material
    with replay(recording, rate=SLOW) as slow, replay(recording, rate=FAST) as fast:
        runs = [
            await up.submit(name, task, url, budget=Budget(iterations=3), stop="first")
            for name, url in (("slow", slow), ("fast", fast))
        ]
        at_slow, at_fast = [stopped_early(events) for events in await asyncio.gather(*map(up.ended, runs))]
    assert at_slow >= 2
    assert at_fast < at_slow


async def test_without_speculation_only_main_answers_are_judged(up: System, material: tuple[Path, Path]) -> None:
    task, recording = material
    with replay(recording, rate=FAST) as url:
        events = await up.ended(
            await up.submit("plain", task, url, budget=Budget(iterations=2), speculate=False, stop="never")
        )
    summary = summarise(events)
    assert list(summary.candidates) == ["main"]
    assert summary.tokens["fork"].generations == 0


async def test_run_uses_the_system_that_is_up(up: System, material: tuple[Path, Path], tmp_path: Path) -> None:
    """Its services stay; the report's folder holds no state of its own; a second server there is refused."""
    task, recording = material
    before = up.pids("generator")
    env = {"SPECGEN_BUS_STATE_DIR": str(up.state)}
    done = await asyncio.to_thread(
        specgen, "run", task, "--replay", recording, "--rate", FAST, "--iterations", 1, "--out", tmp_path / "out",
        "--allow-library", **env,
    )
    assert done.returncode in (0, 1), done.stderr
    assert (tmp_path / "out" / "report.md").exists() and not (tmp_path / "out" / "state").exists()
    assert up.pids("generator") == before
    second = await asyncio.to_thread(specgen, "up", "--state", up.state)
    assert second.returncode == 2 and "up already" in second.stderr
