"""The proxy before a small real server that says what it is told to, as an engine with teacher forcing does."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bench.engine.client import Client
from bench.replayed.player import Player
from bench.replayed.proxy import ForcingProxy
from generator.llm import FORK, MAIN, Endpoint, Piece, Prompt, Refused, StreamBroken
from generator.llm.http import Patience
from generator.replay.listen import listen
from generator.replay.script import full_text
from tests.llm.misbehaving import Answer, Server, cut, decode, encode, stalled, stream
from tests.replay.support import DEPTH, FAST, REASONING, question, recording

QUICK = Patience(connect=2, first=5, idle=5, attempts=2, wait=0.01, wait_max=0.02)
RECORDED = recording()
WHOLE = full_text(RECORDED.iterations[0])


def words(body: dict[str, Any]) -> str:
    return decode([int(part) for part in body["vllm_xargs"]["forced"].split()])


async def obeying(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return await stream(words(body))(request, body)


@asynccontextmanager
async def before(*plan: Answer) -> AsyncIterator[tuple[Server, Endpoint]]:
    """The server, and a probed client of the proxy before it."""
    async with (
        Server(*plan, template="\n<think>\n") as server, Client(server.url, "m") as client,
        ForcingProxy(server.url, Player(client, [RECORDED]), "on") as proxy,
    ):
        runner, url = await listen(proxy.app())
        try:
            async with Endpoint(url, "m", patience=QUICK) as endpoint:
                await endpoint.probe()
                yield server, endpoint
        finally:
            await runner.cleanup()


def asked(text: str = question()) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def said(endpoint: Endpoint, prompt: Prompt, *, fork: bool = False) -> str:
    pieces: list[Piece] = [p async for p in endpoint.generate(prompt, FORK if fork else MAIN, priority=int(fork))]
    return "".join(piece.text for piece in pieces)


async def test_a_main_generation_and_its_fork_say_what_was_recorded() -> None:
    async with before(obeying) as (server, endpoint):
        prompt = await endpoint.open_prompt(asked())
        assert await said(endpoint, prompt) == WHOLE
        for depth, kernel in ((DEPTH, "class ModelNew:\n    pass  # draft\n```\n"), (DEPTH + 12, FAST + "```\n")):
            fork = await endpoint.fork_prompt(prompt, text=REASONING[:depth], token_ids=encode(REASONING[:depth]))
            assert await said(endpoint, fork, fork=True) == kernel
    assert {request["cache_salt"] for request in server.requests} == {"on"}


async def test_a_generation_that_was_broken_off_goes_on_word_for_word() -> None:
    async with before(cut(REASONING[:9]), obeying, obeying) as (_, endpoint):
        prompt = await endpoint.open_prompt(asked())
        with pytest.raises(StreamBroken):
            await said(endpoint, prompt)
        on = await endpoint.resume_prompt(prompt, text=REASONING[:9], token_ids=encode(REASONING[:9]))
        assert await said(endpoint, on) == WHOLE[9:]
        fork = await endpoint.fork_prompt(prompt, text=REASONING, token_ids=encode(REASONING))
        on = await endpoint.resume_prompt(fork, text=FAST[:5], token_ids=encode(FAST[:5]))
        assert await said(endpoint, on, fork=True) == FAST[5:] + "```\n"


async def test_nothing_else_of_a_request_is_changed() -> None:
    async with before(obeying) as (server, endpoint):
        prompt = await endpoint.open_prompt(asked())
        await said(endpoint, prompt)
        sent = server.requests[0]
        assert sent.pop("vllm_xargs") and sent.pop("cache_salt") == "on"
        path, body = endpoint._request(prompt, MAIN, 0)
        assert (path, sent) == ("/v1/completions", body | {"prompt": list(prompt.token_ids or ())})


async def test_what_is_no_generation_of_a_run_passes_as_it_is() -> None:
    async with before(stream("free")) as (server, endpoint), aiohttp.ClientSession() as session:
        assert endpoint.capabilities.mode == "tokens", "the probe's own request was answered"
        body = {"prompt": encode("anything"), "max_tokens": 9}
        async with session.post(f"{endpoint.url}/v1/completions", json=body) as response:
            assert "free" in await response.text()
        assert server.requests == [body]
        for path in ("/health", "/metrics"):
            async with session.get(endpoint.url + path) as response:
                assert response.status == 404, "the server's own answer"


async def test_a_client_that_leaves_leaves_the_engine_too() -> None:
    async with before(stalled("a")) as (server, endpoint):
        stalling = asyncio.create_task(said(endpoint, await endpoint.open_prompt(asked())))
        async with asyncio.timeout(10):
            await server.begun.wait()
            stalling.cancel()
            await server.gone.wait()


@pytest.mark.parametrize(("prompt", "why"), [
    ("Write a kernel.", "names no iteration"), (question(9), "has 2 iterations"),
    (question(2), "lacks the section `## Results of iteration 1`"),
    ("Iteration 1 of 3", "lacks the source of the task"),
])
async def test_a_prompt_without_recorded_words_is_refused(prompt: str, why: str) -> None:
    async with before(obeying) as (server, endpoint):
        with pytest.raises(Refused, match=why):
            await said(endpoint, await endpoint.open_prompt(asked(prompt)))
    assert server.requests == []
