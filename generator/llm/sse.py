"""Server-sent events out of a byte stream, with a limit on silence."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import aiohttp

from generator.llm.errors import StreamBroken, StreamStalled

DONE = b"[DONE]"
MAX_LINE = 64 * 1024 * 1024
"""A first event may repeat a prompt of a million token ids; anything longer is no event."""


async def events(
    stream: aiohttp.StreamReader, *, first_seconds: float, idle_seconds: float
) -> AsyncGenerator[bytes, None]:
    """The data of each event up to `[DONE]` or the end of the stream.

    Reads lines itself: a line may be longer than aiohttp's own limit. Raises StreamStalled, StreamBroken.
    """
    buffer = bytearray()
    limit = first_seconds
    while chunk := await _read(stream, limit):
        limit = idle_seconds
        buffer += chunk
        if len(buffer) > MAX_LINE:
            raise StreamBroken("the endpoint sends a line without end: it does not speak server-sent events")
        *lines, rest = bytes(buffer).split(b"\n")
        buffer = bytearray(rest)
        for line in lines:
            data = _data(line)
            if data == DONE:
                return
            if data:
                yield data
    last = _data(bytes(buffer))
    if last and last != DONE:
        yield last


def _data(line: bytes) -> bytes | None:
    """The payload of a `data:` line; None for comments, blank lines and other fields."""
    line = line.rstrip(b"\r")
    return line[5:].strip() if line.startswith(b"data:") else None


async def _read(stream: aiohttp.StreamReader, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await stream.readany()
    except TimeoutError:
        raise StreamStalled(
            f"the endpoint sent nothing for {seconds:g} s: see whether the engine hangs or is overloaded"
        ) from None
    except (aiohttp.ClientError, ConnectionError) as error:
        raise StreamBroken(f"the connection to the endpoint broke ({error or type(error).__name__})") from None
