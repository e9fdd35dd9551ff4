"""Pieces out of an open response."""
from __future__ import annotations

from collections.abc import AsyncGenerator

import aiohttp
import msgspec

from generator.llm import wire
from generator.llm.capabilities import Mode
from generator.llm.channels import Piece, Splitter
from generator.llm.errors import ContextOverflow, StreamBroken
from generator.llm.http import Patience, is_overflow
from generator.llm.sse import events

_UNFINISHED = ("abort", "error")
"""Finish reasons by which an engine says that it gave the request up."""


async def read_pieces(
    response: aiohttp.ClientResponse, splitter: Splitter, patience: Patience, mode: Mode
) -> AsyncGenerator[Piece, None]:
    """Raises StreamBroken or StreamStalled where the stream ends before the generation does."""
    finish: str | None = None
    usage: wire.Usage | None = None
    with_ids = mode == "tokens"
    async for data in events(response.content, first_seconds=patience.first, idle_seconds=patience.idle):
        event = _event(data)
        usage = event.usage.usage() if event.usage else usage
        for choice in event.choices:
            finish = choice.finish_reason or finish
            for piece in pieces_of(choice, splitter, with_ids):
                yield piece
    if finish is None or finish in _UNFINISHED:
        raise StreamBroken(f"the endpoint ended the stream after {splitter.char} characters, before the answer's end")
    for piece in splitter.rest(with_ids):
        yield piece
    yield splitter.last(finish, usage, with_ids)


def _event(data: bytes) -> wire.Event:
    try:
        event = wire.parse(wire.Event, data)
    except msgspec.DecodeError:
        shown = data[:80].decode(errors="replace")
        raise StreamBroken(f"the endpoint sent an event that is no completion: {shown!r}") from None
    if event.error is not None:
        code, message = wire.error_of(event.error)
        kind = ContextOverflow if is_overflow(code, message) else StreamBroken
        raise kind(f"the endpoint gave up in the middle of the stream: {message}")
    return event


def pieces_of(choice: wire.Choice, splitter: Splitter, with_ids: bool) -> list[Piece]:
    if choice.delta is not None:
        return _chat_pieces(choice.delta, splitter)
    ids = tuple(choice.token_ids or ()) if with_ids else None
    if with_ids and choice.text and choice.token_ids is None:
        raise StreamBroken("the endpoint stopped reporting token ids in the middle of a stream: positions are lost")
    return splitter.feed(choice.text or "", ids) if choice.text or ids else []


def _chat_pieces(delta: wire.Delta, splitter: Splitter) -> list[Piece]:
    """Reasoning in a field of its own tells the channel; without such a field the markers do."""
    pieces: list[Piece] = []
    if reasoning := delta.reasoning_content or delta.reasoning:
        pieces.append(splitter.feed_as("reasoning", reasoning))
        splitter.own_field = True
    if delta.content and splitter.own_field:
        pieces.append(splitter.feed_as("answer", delta.content))
    elif delta.content:
        pieces += splitter.feed(delta.content, None)
    return pieces
