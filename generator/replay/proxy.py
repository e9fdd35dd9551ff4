"""A proxy before a real endpoint that hears what is generated and writes it down."""
from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web

from common.logs import get_logger
from generator.llm import wire
from generator.llm.channels import Splitter
from generator.llm.profiles import profile_for
from generator.llm.stream import pieces_of
from generator.replay.body import Body, parse
from generator.replay.heard import Heard, Session
from generator.replay.passing import Ear, Passing
from generator.replay.tokens import encode
from generator.replay.write import Writer

log = get_logger()
_GENERATES = ("/v1/completions", "/v1/chat/completions")
_RATE = 50.0
"""Tokens a second, until a generation has been timed."""


class Listener:
    """Hears one stream as it passes."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.profile = profile_for(body.model)
        self.finish_reason: str | None = None
        self.began: float | None = None
        self.ended = 0.0
        self._parts: list[tuple[str, str]] = []
        self._splitter = Splitter(self.profile, None)
        self._rest = b""

    def hear(self, chunk: bytes) -> None:
        """Lines that are no events are passed on all the same; the client judges them."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and b"[DONE]" not in line[:16]:
                self._event(line[5:].strip())

    def _event(self, data: bytes) -> None:
        try:
            event = wire.parse(wire.Event, data)
        except msgspec.DecodeError:
            return
        self.ended = time.monotonic()
        self.began = self.began or self.ended
        for choice in event.choices:
            self.finish_reason = choice.finish_reason or self.finish_reason
            if choice.text is not None:
                self._parts.append(("", choice.text))
            else:
                self._parts += [(piece.channel, piece.text) for piece in pieces_of(choice, self._splitter, False)]

    @property
    def text(self) -> str:
        """All of it; reasoning that came in a field of its own gets its markers back."""
        if not self._splitter.own_field:
            return "".join(text for _, text in self._parts) + "".join(p.text for p in self._splitter.rest(False))
        reasoning = "".join(text for channel, text in self._parts if channel == "reasoning")
        answer = "".join(text for channel, text in self._parts if channel == "answer")
        return self.profile.opening + reasoning + (self.profile.closing + answer if answer else "")

    @property
    def rate(self) -> float | None:
        """Replay tokens a second; None where too little was heard to tell."""
        seconds = self.ended - (self.began or self.ended)
        return len(encode(self.text)) / seconds if seconds > 1 else None


class Proxy(Passing):
    """`close` writes what is still to be written."""

    def __init__(self, upstream: str, writer: Writer) -> None:
        super().__init__(upstream)
        self._writer = writer
        self._session: Session | None = None
        self._events: asyncio.Queue[tuple[Listener, bool] | None] = asyncio.Queue()
        """(stream, whether it has ended), in the order in which they began and ended; None to stop."""
        self._rates: list[float] = []

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._worker = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._events.put_nowait(None)
        await self._worker
        await super().__aexit__(*error)

    def began(self, request: web.Request, data: bytes) -> Listener | None:
        """Only streams are heard; a single answer is a probe."""
        if request.path not in _GENERATES:
            return None
        try:
            body = parse(data)
        except msgspec.DecodeError:
            return None
        if not body.stream:
            return None
        listener = Listener(body)
        self._events.put_nowait((listener, False))
        return listener

    def ended(self, ear: Ear) -> None:
        assert isinstance(ear, Listener)
        self._events.put_nowait((ear, True))

    async def _write(self) -> None:
        while (event := await self._events.get()) is not None:
            try:
                await self._keep(*event)
            except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
                log.error("record.lost", error=str(error))

    async def _keep(self, listener: Listener, ended: bool) -> None:
        session = self._session = self._session or Session(listener.profile)
        user, assistant = await self._prompt(listener.body)
        if not ended:
            session.begin(user)
            return
        heard = Heard(user=user, assistant=assistant, text=listener.text, finish_reason=listener.finish_reason)
        number = session.end(heard)
        if number is None:
            log.info("record.skipped", characters=len(listener.text), finish_reason=listener.finish_reason)
            return
        if listener.rate is not None:
            self._rates.append(listener.rate)
        rate = statistics.median(self._rates) if self._rates else _RATE
        self._writer.write(session, number, model=listener.body.model, rate=rate)
        log.info("record.written", iteration=number, forks=len(session.mains[number].forks))

    async def _prompt(self, body: Body) -> tuple[str, str]:
        """(prompt, the assistant's part of a chat) as text."""
        if body.messages is not None:
            messages = list(body.messages)
            last = messages.pop().content if messages and messages[-1].role == "assistant" else ""
            return "\n".join(message.content for message in messages), last
        if isinstance(body.prompt, str):
            return body.prompt, ""
        request: dict[str, Any] = {"model": body.model, "tokens": body.prompt}
        async with self.http.post(self.upstream + "/detokenize", json=request) as response:
            return wire.parse(wire.Text, await response.read()).prompt, ""
