"""What an endpoint is found to be, and what is said where it cannot be used."""
from __future__ import annotations

import socket

import pytest
from aiohttp import web

from generator.llm import (
    MAIN,
    Endpoint,
    EndpointProblem,
    NotAnEndpoint,
    Overloaded,
    Patience,
    Unauthorized,
    Unreachable,
    WrongModel,
)
from tests.llm.misbehaving import Server, chat, status, stream

QUICK = Patience(connect=2, first=2, idle=1, attempts=2, wait=0.01, wait_max=0.02)


async def fails(url: str, kind: type[EndpointProblem], model: str = "m", **options: str) -> str:
    async with Endpoint(url, model, patience=QUICK, **options) as endpoint:  # type: ignore[arg-type]
        with pytest.raises(kind) as caught:
            await endpoint.probe()
    return str(caught.value)


async def probed(server: Server, model: str = "m") -> tuple[object, ...]:
    async with server, Endpoint(server.url + "/v1/", model, patience=QUICK) as endpoint:
        found = await endpoint.probe()
        return found.model, found.mode, found.context, found.continues, found.closing_token is not None


async def test_modes() -> None:
    assert await probed(Server()) == ("m", "tokens", 4096, False, True)
    assert await probed(Server(ids=False)) == ("m", "text", 4096, False, True)
    assert await probed(Server(tokenizes=False)) == ("m", "chat", 4096, True, False)
    assert await probed(Server(tokenizes=False, owned_by="x", context=None)) == ("m", "chat", None, False, False)


async def test_an_empty_name_takes_the_only_model() -> None:
    assert (await probed(Server(), ""))[0] == "m"
    many = {"data": [{"id": "a"}, {"id": "b"}]}
    async with Server(models=many) as server:
        assert "serves a, b" in await fails(server.url, WrongModel, "")


async def test_a_wrong_name_is_told_the_right_ones() -> None:
    async with Server() as server:
        assert "serves m, not 'x'" in await fails(server.url, WrongModel, "x")


async def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert "start it or correct the URL" in await fails(url, Unreachable)


@pytest.mark.parametrize("url", ["localhost:99999", "nonsense", "ftp://127.0.0.1/x", ""])
async def test_no_url(url: str) -> None:
    message = await fails(url, EndpointProblem)
    assert "URL" in message


async def test_something_else_answers() -> None:
    answers: list[object] = ["<html>", {"hello": 1}, {"data": []}, {"data": [{"name": "m"}]}]
    for models in answers:
        async with Server(models=models) as server:
            await fails(server.url, NotAnEndpoint)
    async with Server(models=404) as server:
        assert "check the URL" in await fails(server.url, NotAnEndpoint)
    async with Server(models=500) as server:
        await fails(server.url, Overloaded)


async def test_the_key_is_sent() -> None:
    async with Server(key="k") as server:
        assert "--api-key-env" in await fails(server.url, Unauthorized)
        async with Endpoint(server.url, "m", api_key="k", patience=QUICK) as endpoint:
            await endpoint.probe()


async def test_use_before_probing_is_a_bug() -> None:
    async with Endpoint("http://127.0.0.1:9", "m") as endpoint:
        with pytest.raises(RuntimeError, match="probe"):
            await endpoint.open_prompt([{"role": "user", "content": "Q"}])


async def test_a_server_that_continues_no_message_is_believed() -> None:
    class Stubborn(Server):
        async def _generate(self, request: web.Request) -> web.StreamResponse:
            if (await request.json()).get("continue_final_message"):
                return web.json_response({"error": {"message": "final message does not appear"}}, status=400)
            return await super()._generate(request)

    server = Stubborn(chat({"content": "ok"}), tokenizes=False)
    async with server, Endpoint(server.url, "m", patience=QUICK) as endpoint:
        assert (await endpoint.probe()).continues is False
        prompt = await endpoint.open_prompt([{"role": "user", "content": "Q"}])
        fork = await endpoint.fork_prompt(prompt, text="ideas", token_ids=None)
        assert not fork.in_fence and "ideas" in fork.messages[-1]["content"]
        assert [piece.text async for piece in endpoint.generate(fork, MAIN)] == ["ok", ""]
    assert server.requests[-1]["chat_template_kwargs"] == {"enable_thinking": False}


async def test_a_broken_answer_to_tokenize_is_a_chat_endpoint() -> None:
    class Other(Server):
        async def _tokenize(self, request: web.Request) -> web.Response:
            return web.json_response({"tokens": []})

    assert (await probed(Other(stream("x"))))[1] == "chat"


async def test_overload_while_probing_is_reported() -> None:
    class Busy(Server):
        async def _tokenize(self, request: web.Request) -> web.Response:
            return await status(503)(request, {})  # type: ignore[return-value]

    async with Busy() as server:
        await fails(server.url, Overloaded)
