"""The operator's commands against a system that is up, with a run under way and one that has ended."""
from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from common.messages import Budget, CandidateProposed, RunEnded
from common.report.summary import summarise
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay
from tests.pipeline.system import DRAIN_SECONDS, System, outcomes, system
from tests.pipeline.test_run import specgen

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with system(tmp_path_factory.mktemp("up") / "state") as running:
        yield running


async def command(up: System, *arguments: str | Path) -> str:
    """Its output; it must succeed."""
    done = await asyncio.to_thread(specgen, *arguments, SPECGEN_BUS_STATE_DIR=str(up.state))
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_run_from_submission_to_report(up: System, tmp_path: Path) -> None:
    task, recording = write_recording(tmp_path, [(["passed"], "wrong_values")])
    with replay(recording) as url:
        submitted = await command(up, "submit", task, "--llm", url, "--iterations", "1", "--stop", "never",
                                  "--drain-seconds", str(DRAIN_SECONDS))
        run = submitted.strip()
        await up.ended(run)
    status = json.loads(await command(up, "status", "--json"))
    row = next(row for row in status["runs"] if row["run"] == run)
    assert (row["state"], row["iterations"], row["candidates"]) == ("iterations", 1, 2)
    assert {worker["stage"] for worker in status["workers"]} == {"validate", "profile"}
    assert run in await command(up, "status")
    [campaign] = [c for c in json.loads(await command(up, "status", "--json", "--campaigns"))["campaigns"]
                  if c["campaign"] == run]
    assert (campaign["runs"], campaign["candidates"]) == (1, 2)
    assert campaign["main_tokens"] > 100 and campaign["fork_tokens"] > 10 and campaign["device_seconds"] > 0
    assert "campaigns\n" in await command(up, "status", "--campaigns")
    await command(up, "report", run, "--out", tmp_path / "report")
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["candidates"] == {"fork": {"passed": 1}, "main": {"wrong_values": 1}}


async def test_cancel_ends_a_run_and_resume_refuses_it(up: System, tmp_path: Path) -> None:
    task, recording = write_recording(tmp_path, [(["passed"], "passed")], rate=20)
    with replay(recording) as url:
        run = await up.submit("to-cancel", task, url, budget=Budget(iterations=1))
        await up.until(run, lambda fact: fact.n >= 3)
        await command(up, "cancel", run, "--reason", "enough")
        ended = await up.until(run, lambda fact: isinstance(fact, RunEnded))
    assert isinstance(ended, RunEnded) and (ended.reason, ended.cause) == ("cancelled", "enough")
    for name in ("cancel", "resume"):
        again = await asyncio.to_thread(specgen, name, run, SPECGEN_BUS_STATE_DIR=str(up.state))
        assert again.returncode == 2 and "has ended" in again.stderr


async def test_a_whole_system_killed_in_an_iteration_goes_on_from_its_state(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every process and the server killed with kill -9; started again on the same state the run ends as it should."""
    task, recording = write_recording(tmp_path, [(["passed", "wrong_values"], "passed")] * 2, rate=150)
    state = tmp_path_factory.mktemp("again") / "state"
    with replay(recording) as url:
        async with system(state, orderly=False) as first:
            run = await first.submit("survivor", task, url, budget=Budget(iterations=2), stop="never")
            await first.until(run, lambda fact: isinstance(fact, CandidateProposed))
            first.kill_everything()
        async with system(state) as second:
            events = await second.ended(run)
    assert outcomes(events)
    summary = summarise(events)
    assert (summary.reason, len(summary.iterations)) == ("iterations", 2)
    assert summary.tokens["main"].generations == 2
