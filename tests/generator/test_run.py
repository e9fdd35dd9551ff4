"""A run from its submission to its end."""
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.bus import Bus
from common.messages import PREFIX, Budget, CancelRun, GenerationStarted, Llm, RunEnded, RunSubmitted
from generator.log import RunLog
from generator.run import _Run, drive_run
from generator.settings import GeneratorSettings
from tests.facts import TASK, Log
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay

AWAY = Llm(url="http://127.0.0.1:9", model="m")


async def test_what_was_asked_of_a_run_goes_when_it_has_ended(bus: Bus) -> None:
    for run in ("ends", "other"):
        await bus.record(CancelRun(run=run, at=0.0, reason="r"))
    submitted = RunSubmitted(run="ends", at=0.0, task=TASK, budget=Budget(iterations=1), llm=AWAY)
    await drive_run(bus, GeneratorSettings(endpoint_seconds=0.05), submitted)
    [*_, ended] = await bus.history(f"{PREFIX}.evt.ends.>")
    assert isinstance(ended.message, RunEnded)
    left = await bus.subjects(f"{PREFIX}.cmd.>")
    assert left == {f"{PREFIX}.cmd.other.cancel": 1}


async def test_a_run_that_is_cancelled_while_its_endpoint_is_away_leaves_nothing_open(bus: Bus) -> None:
    log = Log(run="resumed")
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.proposed("c1")
    for fact in log.facts:
        await bus.record(fact)
    await bus.record(CancelRun(run="resumed", at=0.0, reason="enough"))
    submitted = RunSubmitted(run="resumed", at=0.0, task=TASK, budget=Budget(iterations=1), llm=AWAY)
    async with asyncio.timeout(30):
        await drive_run(bus, GeneratorSettings(), submitted)
    state = (await RunLog.load(bus, "resumed")).state
    assert state.ended and (state.ended.reason, state.ended.cause) == ("cancelled", "enough")
    assert state.current is None and state.iterations[0].generations["main"].ended
    assert state.candidates["c1"].settled and state.candidates["c1"].settled.fate == "cancelled"


async def test_a_replica_that_is_away_to_the_end_is_looked_for_no_longer_than_the_run_generates(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is closed then, which nobody may use while the run's last facts are stored."""
    close = _Run._close_open

    async def slowly(run: _Run, end: object) -> None:
        await asyncio.sleep(0.5)
        await close(run, end)  # type: ignore[arg-type]

    monkeypatch.setattr(_Run, "_close_open", slowly)
    _, recording = write_recording(tmp_path, [([], "passed")])
    with replay(recording) as up:
        llm = Llm(url=up, model="", replicas=("http://127.0.0.1:9",))
        submitted = RunSubmitted(run="away", at=0.0, task=TASK, budget=Budget(iterations=1, seconds=0.001), llm=llm)
        async with asyncio.timeout(30):
            await drive_run(bus, GeneratorSettings(metrics_seconds=0.01), submitted)
    state = (await RunLog.load(bus, "away")).state
    assert state.ended and state.ended.reason == "seconds"
