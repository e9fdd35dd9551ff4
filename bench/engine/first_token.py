"""How long a fork takes to its first token, its prefix cached and not, at several depths; how long an abort takes."""
from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from bench.engine.client import Answer, Client
from bench.engine.figures import spread
from bench.engine.interference import words
from bench.engine.server import load_of, until_idle


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    vocabulary: int = 49_000
    depths: tuple[int, ...] = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
    suffix: int = 16
    repeats: int = 5
    abort_tokens: int = 10_000
    streams: int = 5
    """Requests that are aborted at once."""


async def measure(client: Client, sizes: Sizes) -> list[dict[str, Any]]:
    """A row a depth: milliseconds to the first token, alone on the engine."""
    return [await _row(client, sizes, depth) for depth in sizes.depths]


async def _row(client: Client, sizes: Sizes, depth: int) -> dict[str, Any]:
    prefix = words(f"depth {depth}", depth, sizes.vocabulary)
    await client.generate(prefix, 1)
    cached, uncached = [], []
    for n in range(sizes.repeats):
        prompt = prefix + words(f"suffix {n}", sizes.suffix, sizes.vocabulary)
        cached.append(await client.generate(prompt, 2, ignore_eos=True))
        uncached.append(await client.generate(prompt, 2, ignore_eos=True, cache_salt=f"{depth} {n}"))
    return {
        "depth": depth,
        "cached_ms": spread([a.first_seconds for a in cached], scale=1e3),
        "uncached_ms": spread([a.first_seconds for a in uncached], scale=1e3),
        "cached_tokens": [a.cached for a in cached], "uncached_cached_tokens": [a.cached for a in uncached],
    }


async def aborts(client: Client, sizes: Sizes) -> dict[str, Any]:
    """Milliseconds from closing the connections of a main stream and its forks until the engine counts no request."""
    seconds, running = [], []
    for n in range(sizes.repeats):
        begun = [asyncio.Event() for _ in range(sizes.streams)]

        def at_ten(answer: Answer, event: asyncio.Event) -> None:
            if len(answer.ids) >= 10:
                event.set()

        prompt = words(f"abort {n}", 500, sizes.vocabulary)
        tasks = [
            asyncio.create_task(client.generate(
                [*prompt, 100 + i], sizes.abort_tokens, priority=min(i, 1), ignore_eos=True,
                on_token=lambda answer, event=event: at_ten(answer, event),  # type: ignore[misc]
            ))
            for i, event in enumerate(begun)
        ]
        await asyncio.gather(*(event.wait() for event in begun))
        running.append((await load_of(client)).running)
        for task in tasks:
            task.cancel()
        seconds.append(await until_idle(client))
    return {"streams": sizes.streams, "running_before": running, "idle_after_ms": spread(seconds, scale=1e3)}
