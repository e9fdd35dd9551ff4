"""A run on several replicas of an engine: a real generator process and replay endpoints that are processes too.

The tests ask for the forks themselves, so that it is known what a replica is loaded with when one is placed. By their
names the runs `loads` and `killed` begin at the first replica.
"""
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest

from common.bus import Bus, Server
from common.messages import (
    PREFIX,
    Budget,
    CandidateProposed,
    EngineMeasured,
    ForkRequest,
    GenerationEnded,
    GenerationStarted,
    IterationStarted,
    Llm,
    Message,
    PrefixLocated,
    RunEnded,
    RunSubmitted,
    TokenDelta,
    pattern,
)
from common.report.events import collect
from common.report.lines import line_of
from common.report.page import render
from common.report.summary import summarise
from common.task import read_task
from generator.llm import MAIN, Endpoint
from generator.replay.recording import load
from generator.replay.script import full_text
from generator.replay.tokens import encode
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay

DEAD = "http://127.0.0.1:9"
FORKED_AT = 100


@pytest.fixture(scope="module")
def generator(nats_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One generator service. To compute 200 tokens is worth a running request, by settings."""
    settings = nats_server.settings
    env = {
        **os.environ, "SPECGEN_BUS_URL": str(settings.url), "SPECGEN_BUS_TOKEN": str(settings.token),
        "SPECGEN_GENERATOR_METRICS_SECONDS": "0.1", "SPECGEN_GENERATOR_COMPUTE_SECONDS_PER_TOKEN": "0.001",
        "SPECGEN_GENERATOR_RUNNING_SECONDS": "0.2", "SPECGEN_GENERATOR_REPLICA_SECONDS": "0.5", "SPECGEN_LOG": "error",
    }
    said = tmp_path_factory.mktemp("generator") / "stderr"
    with said.open("w") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "generator"], env=env, stderr=stderr)
        yield
        process.terminate()
        assert process.wait(30) == 0, said.read_text()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The task and its recording: a reasoning of some seconds, long enough for a fork of it to be worth its prefix."""
    return write_recording(tmp_path_factory.mktemp("recorded"), [(["wrong_values", "wrong_shape"], "passed")], rate=250)


async def submit(bus: Bus, run: str, task: Path, *urls: str) -> None:
    await bus.record(RunSubmitted(
        run=run, at=time.time(), task=read_task(task), budget=Budget(iterations=1), drain_seconds=0.5,
        llm=Llm(url=urls[0], model="", replicas=urls[1:]),
    ))


async def until(bus: Bus, subject: str, wanted: Callable[[Message], bool], seconds: float = 60.0) -> Message:
    async with asyncio.timeout(seconds), bus.follow(f"{PREFIX}.{subject}") as feed:
        async for delivery in feed:
            if delivery.message is not None and wanted(delivery.message):
                return delivery.message
    raise AssertionError("unreachable")


async def ended(bus: Bus, run: str) -> list[Message]:
    end = await until(bus, f"evt.{run}.run.ended", lambda m: isinstance(m, RunEnded))
    assert isinstance(end, RunEnded) and end.reason == "iterations", end
    return await collect(bus, run)


async def fork(bus: Bus, run: str) -> GenerationStarted:
    """Ask for one and wait until it is granted."""
    subject = pattern(TokenDelta, run=run, iteration=1, generation="main").removeprefix(f"{PREFIX}.")
    await until(bus, subject, lambda m: isinstance(m, TokenDelta) and m.first_token > FORKED_AT)
    deltas = [d.message for d in await bus.history(f"{PREFIX}.{subject}")]
    at = next(d for d in deltas if isinstance(d, TokenDelta) and d.first_token >= FORKED_AT)
    before = len(forks(await bus.history(f"{PREFIX}.evt.{run}.generation.started")))
    await bus.record(ForkRequest(
        run=run, iteration=1, generation="main", at=time.time(), at_token=at.first_token, at_char=at.first_char, k=1,
        reason="asked",
    ))
    granted = await until(
        bus, f"evt.{run}.generation.started",
        lambda m: isinstance(m, GenerationStarted) and m.generation == f"f{before + 1}",
    )
    assert isinstance(granted, GenerationStarted)
    return granted


def forks(history: list) -> list[GenerationStarted]:  # type: ignore[type-arg]
    found = [d.message for d in history]
    return [m for m in found if isinstance(m, GenerationStarted) and m.kind == "fork" and m.resumed_at_token is None]


@asynccontextmanager
async def busy(bus: Bus, run: str, url: str, streams: int) -> AsyncIterator[None]:
    """Others generate there too, and the run's generator has seen it."""
    began = await until(bus, f"evt.{run}.iteration.started", lambda m: isinstance(m, IterationStarted))
    assert isinstance(began, IterationStarted)
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(Endpoint(url, ""))
        await endpoint.probe()
        prompt = await endpoint.open_prompt([{"role": "user", "content": began.prompt}])
        for _ in range(streams):
            pieces = await stack.enter_async_context(aclosing(endpoint.generate(prompt, MAIN)))
            await anext(pieces)
        await until(bus, f"ops.{run}.engine.measured", lambda m: (
            isinstance(m, EngineMeasured) and m.replica == url and m.running >= streams
        ))
        yield


async def test_a_fork_stays_with_its_prefix_until_too_many_are_there(
    bus: Bus, generator: None, recorded: tuple[Path, Path]
) -> None:
    task, recording = recorded
    with replay(recording) as first, replay(recording) as second:
        await submit(bus, "loads", task, first, second)
        at_home = await fork(bus, "loads")
        async with busy(bus, "loads", first, 6):
            away = await fork(bus, "loads")
        events = await ended(bus, "loads")
    main = next(e for e in events if isinstance(e, GenerationStarted) and e.kind == "main")
    assert main.placement and (main.placement.replica, main.placement.prefix) == (first, "computed")
    assert at_home.placement and (at_home.placement.replica, at_home.placement.prefix) == (first, "cached")
    assert away.placement and (away.placement.replica, away.placement.prefix) == (second, "computed")
    tokens = away.placement.tokens
    assert tokens > FORKED_AT and away.placement.seconds[second] == pytest.approx(tokens * 0.001)
    assert away.placement.seconds[first] >= 1.2 > away.placement.seconds[second]
    located = [e for e in events if isinstance(e, PrefixLocated) and e.run == "loads"]
    assert {e.home for e in located} == {first}
    assert max(e.replicas[first].wait_seconds for e in located) >= 1.2
    summary = summarise(events)
    assert summary.replicas == {first: {"main": 1, "cached": 1}, second: {"computed": 1}}
    page = render(summary, events)
    assert f"It was sent to {second}, which had to compute its prefix of {tokens} tokens" in page
    assert f"| {second} | 0 | 0 | 0 | 1 | 0 |" in page
    assert line_of(away, 0.0) and f"on {second} (computed)" in str(line_of(away, 0.0))


async def test_a_replica_that_is_killed_loses_nothing(bus: Bus, generator: None, recorded: tuple[Path, Path]) -> None:
    """The reasoning and a fork go on at the other one, from the tokens there are; so do later forks."""
    task, recording = recorded
    with replay(recording) as second:
        with replay(recording) as first:
            await submit(bus, "killed", task, first, second)
            assert (granted := await fork(bus, "killed")).placement and granted.placement.replica == first
        moved = await until(bus, "evt.killed.generation.started", lambda m: (
            isinstance(m, GenerationStarted) and m.kind == "main" and m.resumed_at_token is not None
        ))
        later = await fork(bus, "killed")
        events = await ended(bus, "killed")
    assert isinstance(moved, GenerationStarted) and moved.placement and moved.placement.replica == second
    assert moved.resumed_at_token and moved.resumed_at_token > FORKED_AT
    assert later.placement and (later.placement.replica, later.placement.prefix) == (second, "cached")
    assert list(later.placement.seconds) == [second]
    told = load(recording).iterations[0]
    main = next(e for e in events if isinstance(e, GenerationEnded) and e.generation == "main")
    assert main.reason == "finished" and main.reasoning_tokens + main.answer_tokens == len(encode(full_text(told)))
    [proposed] = [e for e in events if isinstance(e, CandidateProposed) and e.origin == "main"]
    assert told.answer and proposed.source in told.answer
    assert [e.home for e in events if isinstance(e, PrefixLocated)][-1] == second
    summary = summarise(events)
    assert summary.replicas[second]["moved"] >= 1 and summary.tokens["main"].generations == 1
    assert f"`main` was broken off and went on from token {moved.resumed_at_token}" in render(summary, events)
    assert f"main goes on at {second}" in str(line_of(moved, 0.0))


async def test_a_replica_that_is_away_from_the_start_is_done_without(
    bus: Bus, generator: None, recorded: tuple[Path, Path]
) -> None:
    task, recording = recorded
    with replay(recording, rate=5000) as there:
        await submit(bus, "away", task, DEAD, there)
        events = await ended(bus, "away")
    main = next(e for e in events if isinstance(e, GenerationStarted))
    assert main.placement and list(main.placement.seconds) == [there]


async def test_one_endpoint_is_no_choice(bus: Bus, generator: None, recorded: tuple[Path, Path]) -> None:
    task, recording = recorded
    with replay(recording) as url:
        await submit(bus, "single", task, url)
        granted = await fork(bus, "single")
        events = await ended(bus, "single")
    assert granted.placement is None and summarise(events).replicas == {}
    assert not [e for e in events if isinstance(e, PrefixLocated) and e.run == "single"]
    assert {e.replica for e in events if isinstance(e, EngineMeasured) and e.run == "single"} == {""}
    assert "Replicas" not in render(summarise(events), events)
