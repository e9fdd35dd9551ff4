"""The HTTP side: vLLM's routes over a recording."""
from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web

from generator.replay import body as bodies
from generator.replay import shapes
from generator.replay.body import Body
from generator.replay.engine import Engine, Request, plan
from generator.replay.listen import MAX_BODY
from generator.replay.metrics import metrics
from generator.replay.recording import Recording
from generator.replay.script import Refusal, Script, script
from generator.replay.tokens import decode, encode, render

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the protocol is spoken."""

    chat_only: bool = False
    """No tokens, no completions: messages only."""
    continues: bool = True
    """A chat may end in an assistant's message that is to be continued."""
    reasoning_field: str = "reasoning_content"
    """Where a chat's reasoning goes; empty for markers in the content."""
    context: int = 131_072
    """Tokens of prompt and answer together."""


class WrongModel(Exception):
    """The request names another model."""


class Server:
    def __init__(self, recording: Recording, engine: Engine, dialect: Dialect) -> None:
        self.recording, self.engine, self.dialect = recording, engine, dialect

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._errors])
        app.router.add_get("/health", self._health)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        if not self.dialect.chat_only:
            app.router.add_post("/tokenize", self._tokenize)
            app.router.add_post("/detokenize", self._detokenize)
            app.router.add_post("/v1/completions", self._completions)
        return app

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except WrongModel as error:
            return self._error(404, str(error))
        except Refusal as error:
            return self._error(400, str(error))
        except msgspec.DecodeError as error:
            return self._error(400, f"malformed request: {error}")

    def _error(self, status: int, message: str) -> web.Response:
        self.engine.stats.refused += 1
        kind = "NotFoundError" if status == 404 else "BadRequestError"
        return web.json_response({"error": {"message": message, "type": kind, "code": status}}, status=status)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _stats(self, _: web.Request) -> web.Response:
        return web.json_response(msgspec.to_builtins(self.engine.stats))

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=metrics(self.engine.stats))

    async def _models(self, _: web.Request) -> web.Response:
        # The owner is how vLLM is told from others: its extensions are spoken here, unless they are switched off.
        model = {
            "id": self.recording.model,
            "object": "model",
            "owned_by": "vllm" if self.dialect.continues else "specgen",
            "max_model_len": self.dialect.context,
        }
        return web.json_response({"object": "list", "data": [model]})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        text = _text(body.prompt) if body.messages is None else self._rendered(body)
        ids = encode(text)
        return web.json_response({"count": len(ids), "max_model_len": self.dialect.context, "tokens": ids})

    async def _detokenize(self, request: web.Request) -> web.Response:
        return web.json_response({"prompt": _text((await self._body(request)).tokens)})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        ids = encode(body.prompt) if isinstance(body.prompt, str) else body.prompt
        planned = self._plan(body, _text(body.prompt), tuple(ids))
        return await self._answer(request, body, planned, shapes.Completion(with_ids=body.return_token_ids))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        prompt = self._rendered(body)
        planned = self._plan(body, prompt, tuple(encode(prompt)))
        shape = shapes.Chat(
            field=self.dialect.reasoning_field,
            reasoning=planned.channel == "reasoning",
            begun=body.continue_final_message,
        )
        return await self._answer(request, body, planned, shape)

    def _rendered(self, body: Body) -> str:
        if body.continue_final_message and not self.dialect.continues:
            raise Refusal("continue_final_message is not supported")
        messages = [(message.role, message.content) for message in body.messages or ()]
        return render(messages, open_turn=not body.continue_final_message)

    async def _body(self, request: web.Request) -> Body:
        body = bodies.parse(await request.read())
        if body.model not in ("", self.recording.model):
            raise WrongModel(f"The model `{body.model}` does not exist; this is {self.recording.model}.")
        return body

    def _plan(self, body: Body, prompt: str, ids: tuple[int, ...]) -> Request:
        limit = body.max_tokens
        if len(ids) + (limit or 1) > self.dialect.context:
            raise Refusal(
                f"This model's maximum context length is {self.dialect.context} tokens. However, you requested "
                f"{limit or 1} output tokens and your prompt contains {len(ids)} tokens."
            )
        # One token is asked for to see what the endpoint can do; it needs no place in the recording.
        found = Script("ok", "stop", "main", "answer") if limit == 1 else script(self.recording, prompt)
        return plan(found, ids, limit, body.stops)

    async def _answer(
        self, request: web.Request, body: Body, planned: Request, shape: shapes.Shape
    ) -> web.StreamResponse:
        cached = self.engine.cache.cached(planned.prompt_ids)
        self.engine.stats.prefix_queries += len(planned.prompt_ids)
        self.engine.stats.prefix_hits += cached
        usage = shapes.usage(len(planned.prompt_ids), len(planned.ids), cached)
        if body.stream:
            return await self._stream(request, planned, shape, usage if body.wants_usage else None)
        played = [text async for text, _ in self.engine.play(planned)]
        return web.json_response({"choices": [shape.whole("".join(played), planned)], "usage": usage})

    async def _stream(
        self, request: web.Request, planned: Request, shape: shapes.Shape, usage: dict[str, Any] | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async with aclosing(self.engine.play(planned)) as parts:
            async for text, ids in parts:
                for choice in shape.choices(text, ids):
                    await _send(response, {"choices": [choice]})
        await _send(response, {"choices": [shape.last(planned.finish_reason)]})
        if usage is not None:
            await _send(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response


def _text(prompt: str | list[int]) -> str:
    try:
        return prompt if isinstance(prompt, str) else decode(prompt)
    except ValueError as error:
        raise Refusal(str(error)) from None


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(b"data: " + msgspec.json.encode(event) + b"\n\n")
