"""An endpoint that is away for a while, as an engine that restarts is."""
from __future__ import annotations

import asyncio

import pytest

from common.commands.endpoint import free_port
from generator.llm import MAIN, Endpoint, Overloaded, Patience, Unreachable
from tests.llm.misbehaving import Server, status


def patience(away: float) -> Patience:
    return Patience(connect=2, attempts=1, away=away, wait=0.05, wait_max=0.1)


async def test_it_is_waited_for_whatever_the_number_of_tries() -> None:
    port = free_port()
    async with Endpoint(f"http://127.0.0.1:{port}", "m", patience=patience(60)) as endpoint:
        probing = asyncio.create_task(endpoint.probe())
        await asyncio.sleep(1.0)
        assert not probing.done()
        async with Server(port=port):
            assert (await probing).mode == "tokens"


async def test_but_not_for_ever() -> None:
    async with Endpoint(f"http://127.0.0.1:{free_port()}", "m", patience=patience(0.3)) as endpoint:
        with pytest.raises(Unreachable, match="no LLM endpoint answers"):
            await endpoint.probe()


async def test_nor_for_as_long_as_it_asks_for() -> None:
    server = Server(status(429, Retry_After="120"))
    async with server, Endpoint(server.url, "m", patience=patience(0.3)) as endpoint:
        await endpoint.probe()
        prompt = await endpoint.open_prompt([{"role": "user", "content": "Q"}])
        async with asyncio.timeout(20):
            with pytest.raises(Overloaded):
                await anext(aiter(endpoint.generate(prompt, MAIN)))
    assert len(server.requests) >= 2, "it is tried once more when the patience ends"
