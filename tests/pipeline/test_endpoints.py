"""A real generator process against an endpoint that misbehaves: the run survives, or ends with the reason."""
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from common.bus import Bus, Server
from common.messages import PREFIX, Budget, GenerationEnded, Llm, Message, RunEnded, RunSubmitted, TaskSource
from common.report.events import collect
from tests.llm.misbehaving import Server as Endpoint
from tests.llm.misbehaving import chat, cut, stalled, status, stream

RUN_SECONDS = 60.0
THOUGHT, ANSWER = "x" * 40, "nothing to run"
GOOD = stream("<think>", THOUGHT, "</think>", ANSWER)
OVERFLOW = {"error": {"message": "This model's maximum context length is 10 tokens", "code": "context_length_exceeded"}}


@pytest.fixture(scope="module")
def generator(nats_server: Server) -> Iterator[None]:
    """One generator service with little patience."""
    settings = nats_server.settings
    env = {
        **os.environ, "SPECGEN_BUS_URL": str(settings.url), "SPECGEN_BUS_TOKEN": str(settings.token),
        "SPECGEN_GENERATOR_IDLE_SECONDS": "1", "SPECGEN_LOG": "error",
    }
    process = subprocess.Popen([sys.executable, "-m", "generator"], env=env)
    yield
    process.terminate()
    assert process.wait(30) == 0


async def ended(bus: Bus, run: str, endpoint: Endpoint, **llm: Any) -> tuple[RunEnded, list[Message]]:
    await bus.record(RunSubmitted(
        run=run, at=time.time(), task=TaskSource(name="t", source="class Model: pass\n"), budget=Budget(iterations=1),
        llm=Llm(**({"url": endpoint.url, "model": "m"} | llm)), speculate=False,
    ))
    async with asyncio.timeout(RUN_SECONDS), bus.follow(f"{PREFIX}.evt.{run}.run.ended") as feed:
        end = await anext(feed)
    assert isinstance(end.message, RunEnded)
    return end.message, await collect(bus, run)


def main_of(events: list[Message]) -> GenerationEnded:
    return next(e for e in events if isinstance(e, GenerationEnded) and e.generation == "main")


SURVIVED: dict[str, tuple[Any, ...]] = {
    "cut": (cut("<think>", "x" * 10), cut("x" * 10), stream("x" * 20, "</think>", ANSWER)),
    "stalled": (stalled("<think>", "x" * 10), stream("x" * 30, "</think>", ANSWER)),
    "unfinished": (stream("<think>", "x" * 10, finish=None), stream("x" * 30, "</think>", ANSWER)),
    "too-many": (status(429, Retry_After="0"), GOOD),
    "broken": (status(500), status(503), GOOD),
    "plain": (stream("<think>", THOUGHT, "</think>", ANSWER),),
}


@pytest.mark.parametrize("name", SURVIVED)
async def test_the_run_survives(bus: Bus, generator: None, name: str) -> None:
    async with Endpoint(*SURVIVED[name]) as endpoint:
        end, events = await ended(bus, f"survives-{name}", endpoint)
    assert end.reason == "iterations", end.cause
    main = main_of(events)
    opening = len("<think>")
    assert (main.reason, main.reasoning_tokens, main.answer_tokens) == ("finished", opening + 40 + 1, len(ANSWER))


async def test_an_endpoint_without_token_ids_is_counted_by_estimate(bus: Bus, generator: None) -> None:
    parts = [(text, None) for text in ("<think>", THOUGHT, "</think>", ANSWER)]
    async with Endpoint(stream(*parts), ids=False) as endpoint:
        end, events = await ended(bus, "no-ids", endpoint)
    assert end.reason == "iterations" and main_of(events).tokens_estimated


async def test_a_chat_only_endpoint_with_a_field_for_its_reasoning(bus: Bus, generator: None) -> None:
    deltas = [{"reasoning_content": THOUGHT}, {"content": ANSWER}]
    async with Endpoint(chat(*deltas), tokenizes=False, owned_by="x") as endpoint:
        end, events = await ended(bus, "chat-only", endpoint)
    assert end.reason == "iterations", end.cause
    assert main_of(events).reasoning_tokens == len(THOUGHT) // 4


ENDED = {
    "wrong-model": ((GOOD,), {"model": "another"}, "another"),
    "overflow": ((status(400, OVERFLOW),), {}, "context"),
    "refused": ((status(400, {"error": {"message": "top_p is out of range"}}),), {}, "top_p is out of range"),
}


@pytest.mark.parametrize("name", ENDED)
async def test_the_run_ends_with_the_reason(bus: Bus, generator: None, name: str) -> None:
    plan, llm, says = ENDED[name]
    async with Endpoint(*plan) as endpoint:
        end, _ = await ended(bus, f"ends-{name}", endpoint, **llm)
    assert end.reason == "failed" and says in end.cause, end.cause


async def test_a_stream_that_always_breaks_ends_the_run_after_a_few_tries(bus: Bus, generator: None) -> None:
    async with Endpoint(cut("<think>", "x"), cut()) as endpoint:
        end, events = await ended(bus, "always-cut", endpoint)
        assert len(endpoint.requests) <= 6
    assert end.reason == "failed" and main_of(events).reason == "failed"


async def test_an_unknown_key_is_said(bus: Bus, generator: None) -> None:
    async with Endpoint(GOOD, key="secret") as endpoint:
        end, _ = await ended(bus, "no-key", endpoint)
    assert end.reason == "failed" and "key" in end.cause.lower()
