"""A reasoning that repeats itself is ended, with the reason in the facts and in the report; the run goes on to its end.

A real generator, trigger and replay endpoint; nothing is there to be judged.
"""
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.bus import Bus, Server
from common.messages import PREFIX, Budget, GenerationEnded, IterationEnded, Llm, RunEnded, RunSubmitted
from common.report.events import collect
from common.report.lines import line_of
from common.report.page import render
from common.report.summary import summarise
from common.task import read_task
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay

LOOP = "The input is contiguous, so the rows are contiguous. \n" * 8000


@pytest.fixture
def services(nats_server: Server) -> Iterator[None]:
    settings = nats_server.settings
    env = {
        **os.environ, "SPECGEN_BUS_URL": str(settings.url), "SPECGEN_BUS_TOKEN": str(settings.token),
        "SPECGEN_LOG": "error",
    }
    processes = [subprocess.Popen([sys.executable, "-m", name], env=env) for name in ("trigger", "generator")]
    yield
    for process in processes:
        process.terminate()
    assert [process.wait(30) for process in processes] == [0, 0]


async def test_a_reasoning_that_repeats_itself_is_ended(bus: Bus, services: None, tmp_path: Path) -> None:
    """It never answers: without the abort it would take 100,000 tokens to its end."""
    task, recording = write_recording(tmp_path, [([], "passed")], rate=1000.0)
    (recording / "1" / "answer.md").unlink()
    with (recording / "1" / "reasoning.md").open("a") as reasoning:
        reasoning.write(LOOP)
    with replay(recording) as url:
        await bus.record(RunSubmitted(
            run="loop", at=time.time(), task=read_task(task, allow_library=True), budget=Budget(iterations=1),
            llm=Llm(url=url, model=""),
        ))
        async with asyncio.timeout(90), bus.follow(f"{PREFIX}.evt.loop.run.ended") as feed:
            ended = (await anext(feed)).message
    assert isinstance(ended, RunEnded) and ended.reason == "iterations", ended
    events = await collect(bus, "loop")
    [main] = (e for e in events if isinstance(e, GenerationEnded) and e.generation == "main")
    assert (main.reason, main.cause, main.candidate) == ("aborted", "repeating", None) and main.request
    assert main.numbers["at_char"] / 4 < main.reasoning_tokens < len(LOOP) / 8
    assert [(e.reason, e.cause) for e in events if isinstance(e, IterationEnded)] == [("aborted", "repeating")]
    page = render(summarise(events), events)
    assert f"the reasoning was ended after {main.reasoning_tokens} tokens: repeating" in page
    assert "main aborted after" in (line_of(main, 0.0) or "")
