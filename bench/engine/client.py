"""Requests to a vLLM server, streamed, with the time of each token: the part of the protocol that benchmarks need."""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from common.errors import SpecgenError


class EngineRefused(SpecgenError):
    """The engine answered with an error."""


@dataclass
class Answer:
    """A generation. `times` are monotonic seconds, one a token: tokens of one event share theirs."""

    sent: float = 0.0
    ids: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    cached: int | None = None
    finish: str | None = None

    @property
    def first_seconds(self) -> float:
        """From the request to its first token."""
        return self.times[0] - self.sent

    def gaps(self) -> list[float]:
        """Seconds between neighbouring tokens."""
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


OnToken = Callable[[Answer], None]


class Client:
    """One server. An async context manager."""

    def __init__(self, url: str, model: str) -> None:
        self.url = url
        self.model = model

    async def __aenter__(self) -> Client:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=300)
        self.session = aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=0), read_bufsize=1 << 22
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def generate(
        self, prompt: Sequence[int], max_tokens: int, *, forced: Sequence[int] | None = None, priority: int = 0,
        on_token: OnToken | None = None, **fields: Any,
    ) -> Answer:
        """Stream one generation to its end; cancelling the call closes the connection and so aborts the request.

        `forced`: the ids it is to say (the engine then needs the plugin). `fields` go into the request as they are.
        Greedy unless they say otherwise. Raises EngineRefused.
        """
        body: dict[str, Any] = {
            "model": self.model, "prompt": list(prompt), "max_tokens": max_tokens, "temperature": 0, "stream": True,
            "stream_options": {"include_usage": True}, "return_token_ids": True, "skip_special_tokens": False,
            "priority": priority, **fields,
        }
        if forced is not None:
            body["vllm_xargs"] = forcing(forced)
        answer = Answer(sent=time.monotonic())
        async with self.session.post(f"{self.url}/v1/completions", json=body) as response:
            if response.status != 200:
                raise EngineRefused(f"{response.status}: {(await response.text())[:300]}")
            async for line in response.content:
                if line.startswith(b"data: {"):
                    _take(answer, msgspec.json.decode(line[6:]), on_token)
        return answer

    async def tokenize(self, text: str) -> list[int]:
        body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        async with self.session.post(f"{self.url}/tokenize", json=body) as response:
            ids: list[int] = (await response.json())["tokens"]
            return ids

    async def detokenize(self, ids: Sequence[int]) -> str:
        async with self.session.post(
            f"{self.url}/detokenize", json={"model": self.model, "tokens": list(ids)}
        ) as response:
            text: str = (await response.json())["prompt"]
            return text


def forcing(ids: Sequence[int]) -> dict[str, str]:
    """The `vllm_xargs` of a request that is to say these ids, at an engine with the plugin (`forcing.py`)."""
    return {"forced": " ".join(map(str, ids))}


def _take(answer: Answer, event: dict[str, Any], on_token: OnToken | None) -> None:
    if "error" in event:
        raise EngineRefused(str(event["error"])[:300])
    if usage := event.get("usage"):
        details = usage.get("prompt_tokens_details") or {}
        answer.prompt_tokens, answer.cached = usage["prompt_tokens"], details.get("cached_tokens")
    for choice in event["choices"]:
        ids = choice.get("token_ids") or []
        answer.ids += ids
        answer.times += [time.monotonic()] * len(ids)
        answer.finish = choice["finish_reason"] or answer.finish
        if ids and on_token is not None:
            on_token(answer)
