"""A real HTTP server that speaks the protocol as badly as asked.

`Server(plan...)` answers each generation request with the next entry of its plan, the last one again and again. An
entry is a coroutine function of the request and its decoded body; the functions below make them.
"""
from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
CLOSING = "</think>"
_SPECIAL = 1_200_000


def encode(text: str) -> list[int]:
    """One token a character, one for the closing marker."""
    ids: list[int] = []
    while text:
        if text.startswith(CLOSING):
            ids.append(_SPECIAL)
            text = text[len(CLOSING) :]
        else:
            ids.append(ord(text[0]))
            text = text[1:]
    return ids


def decode(ids: list[int]) -> str:
    return "".join(CLOSING if i == _SPECIAL else chr(i) for i in ids)


class Server:
    """`models` is the model list, or a text or a status in its place. `template` ends every prompt; `tokenizes` False
    makes it chat-only, `ids` False leaves token ids out."""

    def __init__(
        self, *plan: Answer, template: str = "\nA:", tokenizes: bool = True, ids: bool = True,
        models: Any = None, owned_by: str = "vllm", context: int | None = 4096, key: str | None = None, port: int = 0,
    ) -> None:
        self.plan, self.template, self.tokenizes, self.ids, self.key = list(plan), template, tokenizes, ids, key
        entry = {"id": "m", "owned_by": owned_by} | ({"max_model_len": context} if context else {})
        self.models = {"data": [entry]} if models is None else models
        self.requests: list[dict[str, Any]] = []
        self.port = port
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()
        """A client closed the connection of an answer under way."""
        self.url = ""

    async def __aenter__(self) -> Server:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        if self.tokenizes:
            app.router.add_post("/tokenize", self._tokenize)
            app.router.add_post("/detokenize", self._detokenize)
            app.router.add_post("/v1/completions", self._generate)
        app.router.add_post("/v1/chat/completions", self._generate)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"message": "Incorrect API key"}}, status=401)
        if isinstance(self.models, int):
            return web.Response(status=self.models)
        if isinstance(self.models, str):
            return web.Response(text=self.models)
        return web.json_response(self.models)

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = body.get("prompt")
        if text is None:
            text = "".join(m["content"] for m in body["messages"]) + self.template
        return web.json_response({"tokens": encode(text), "count": 0})

    async def _detokenize(self, request: web.Request) -> web.Response:
        return web.json_response({"prompt": decode((await request.json())["tokens"])})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body.get("max_tokens") == 1:
            ids = {"token_ids": [65]} if self.ids else {}
            return web.json_response({"choices": [{"text": "A", "finish_reason": "length"} | ids]})
        self.requests.append(body)
        self.begun.set()
        answer = self.plan[0] if len(self.plan) == 1 else self.plan.pop(0)
        try:
            return await answer(request, body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.gone.set()
            raise


def status(code: int, body: Any = None, **headers: str) -> Answer:
    """An error status; header names take `_` for `-`."""
    async def answer(request: web.Request, _: dict[str, Any]) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body or {"error": {"message": "no"}}, status=code, headers=named)
    return answer


def stream(
    *parts: str | tuple[str, list[int] | None], finish: str | None = "stop", usage: Any = None, done: bool = True
) -> Answer:
    """A completion stream. A part is its text, with one id a character, or text and ids."""
    events = [_completion(part) for part in parts]
    return raw(*events, *_ending({"text": "", "token_ids": []}, finish, usage), done=done)


def chat(*deltas: dict[str, str], finish: str | None = "stop", usage: Any = None) -> Answer:
    events = [{"choices": [{"delta": delta}]} for delta in deltas]
    return raw(*events, *_ending({"delta": {}}, finish, usage))


def raw(*events: Any, done: bool = True, then: Callable[[web.StreamResponse], Awaitable[None]] | None = None) -> Answer:
    """Events as given: bytes go out as they are, anything else as JSON in a `data:` line."""
    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event if isinstance(event, bytes) else f"data: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(0)
        if then is not None:
            await then(response)
        elif done:
            await response.write(b"data: [DONE]\n\n")
        return response
    return answer


def stalled(*parts: str) -> Answer:
    """Sends the parts, then keeps the connection open and silent."""
    return raw(*map(_completion, parts), then=lambda _: asyncio.sleep(3600))


def cut(*parts: str) -> Answer:
    """Sends the parts, then drops the connection in the middle of a chunk."""
    async def drop(response: web.StreamResponse) -> None:
        transport = response._req.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()
        await asyncio.sleep(0.2)

    return raw(*map(_completion, parts), then=drop)


def _completion(part: str | tuple[str, list[int] | None]) -> dict[str, Any]:
    text, ids = part if isinstance(part, tuple) else (part, encode(part))
    return {"choices": [{"text": text} | ({} if ids is None else {"token_ids": ids})]}


def _ending(choice: dict[str, Any], finish: str | None, usage: Any) -> list[Any]:
    ending: list[Any] = [{"choices": [choice | {"finish_reason": finish}]}] if finish else []
    return ending + ([{"choices": [], "usage": usage}] if usage else [])
