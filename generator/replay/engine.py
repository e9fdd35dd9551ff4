"""Plays tokens at a rate and keeps count, like an engine would."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from common.messages.tokens import Channel
from generator.replay.cache import PrefixCache
from generator.replay.script import Script
from generator.replay.tokens import decode, encode

TICK = 0.004
"""Seconds: at higher rates than one token a tick, a chunk carries several tokens."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One generation, decided in full before it is played."""

    kind: str
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    finish_reason: str
    channel: Channel
    """Where it begins."""


class Stats(msgspec.Struct):
    """What was done since the start."""

    running_main: int = 0
    running_forks: int = 0
    main: int = 0
    forks: int = 0
    finished: int = 0
    aborted: int = 0
    refused: int = 0
    tokens_served: int = 0
    prefix_queries: int = 0
    """Prompt tokens, as vLLM counts them."""
    prefix_hits: int = 0
    """Of these, tokens of a prompt or answer before."""


def plan(script: Script, prompt_ids: tuple[int, ...], max_tokens: int | None, stop: tuple[str, ...]) -> Request:
    """Apply the request's limits to a script."""
    text, finish = script.text, script.finish_reason
    cuts = [at for at in map(text.find, stop) if at >= 0]
    if cuts:
        text, finish = text[: min(cuts)], "stop"
    ids = encode(text)
    if max_tokens is not None and len(ids) > max_tokens:
        ids, finish = ids[:max_tokens], "length"
    return Request(
        kind=script.kind, prompt_ids=prompt_ids, ids=tuple(ids), finish_reason=finish, channel=script.channel
    )


class Engine:
    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.stats = Stats()
        self.cache = PrefixCache()

    async def play(self, request: Request) -> AsyncGenerator[tuple[str, tuple[int, ...]], None]:
        """(text, ids) by and by; closing it early counts as an abort."""
        held = self.cache.sequence(request.prompt_ids)
        self._begin(request.kind, 1)
        done = False
        try:
            async for ids in self._paced(request.ids):
                self.stats.tokens_served += len(ids)
                held.add(ids)
                yield decode(ids), ids
            done = True
        finally:
            self._begin(request.kind, -1)
            self.stats.finished += done
            self.stats.aborted += not done

    async def _paced(self, ids: tuple[int, ...]) -> AsyncGenerator[tuple[int, ...], None]:
        """Token n is due n/rate seconds after the start; a late wake-up is caught up, so the rate holds."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        sent = 0
        while sent < len(ids):
            due = int((loop.time() - start) * self.rate)
            if due > sent:
                yield ids[sent:due]
                sent = min(due, len(ids))
            await asyncio.sleep(max(TICK, start + (sent + 1) / self.rate - loop.time()))

    def _begin(self, kind: str, step: int) -> None:
        if kind == "fork":
            self.stats.running_forks += step
            self.stats.forks += step > 0
        else:
            self.stats.running_main += step
            self.stats.main += step > 0
