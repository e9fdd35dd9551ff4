"""By how much forks slow the main stream down: time between its tokens with 0 to 4 forks, with and without priority.

Forks start from the stream's own prefix while it runs. `cached` forks find it in the cache; `uncached` ones (another
cache salt) have to compute it first, in the steps that the main stream shares.
"""
from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from bench.engine.client import Answer, Client
from bench.engine.figures import spread
from bench.engine.server import until_idle


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    vocabulary: int = 49_000
    prompt: int = 4_000
    """Tokens before the main stream begins."""
    warm: int = 100
    """Tokens of it before anything is measured."""
    tokens: int = 300
    """Tokens measured."""
    forks: tuple[int, ...] = (0, 1, 4)


def words(seed: str, count: int, vocabulary: int) -> list[int]:
    """Any tokens but the first few, which are special."""
    draw = random.Random(seed)
    return [draw.randrange(100, vocabulary) for _ in range(count)]


async def measure(client: Client, sizes: Sizes) -> list[dict[str, Any]]:
    """One row for each number of forks, way of scheduling them, and state of the cache."""
    rows = []
    for count in sizes.forks:
        for priority in ((1, 0) if count else (1,)):
            for cached in ((True, False) if count else (True,)):
                rows.append(await _row(client, sizes, count, priority, cached))
    alone = rows[0]["gap_ms"]["p50"]
    for row in rows:
        row["slowdown_p50"] = round(row["gap_ms"]["p50"] / alone, 3)
        row["slowdown_mean"] = round(row["gap_ms"]["mean"] / rows[0]["gap_ms"]["mean"], 3)
    return rows


async def _row(client: Client, sizes: Sizes, count: int, priority: int, cached: bool) -> dict[str, Any]:
    name = f"{count} {priority} {cached}"
    prompt = words(name, sizes.prompt, sizes.vocabulary)
    tasks: list[asyncio.Task[Answer]] = []

    def on_main(answer: Answer) -> None:
        if len(answer.ids) >= sizes.warm and not tasks and count:
            prefix = prompt + answer.ids[: sizes.warm - 8]
            salts = [name if cached else f"{name} {i}" for i in range(count)]
            tasks.extend(asyncio.create_task(_fork(client, sizes, prefix, salt, priority)) for salt in salts)

    main = await client.generate(
        prompt, sizes.warm + sizes.tokens, priority=0, ignore_eos=True, on_token=on_main, cache_salt=name
    )
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    await until_idle(client)
    failed = [str(error) for error in done if isinstance(error, Exception)]
    gaps = main.gaps()[sizes.warm :]
    return {
        "forks": count, "priority": "main first" if priority else "equal", "prefix": "cached" if cached else "uncached",
        "gap_ms": spread(gaps, scale=1e3), "seconds": round(sum(gaps), 3), "failed": failed,
    }


async def _fork(client: Client, sizes: Sizes, prefix: list[int], salt: str, priority: int) -> Answer:
    """With the main stream's own salt it shares its cache."""
    suffix = words(salt, 8, sizes.vocabulary)
    return await client.generate(
        prefix + suffix, 4 * sizes.tokens, priority=priority, ignore_eos=True, cache_salt=salt
    )
