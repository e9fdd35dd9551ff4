"""An engine that has answered before: what its first requests compile and load is not to count as the first part's."""
from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bench.engine.client import Client

TOKENS = 96
PROMPTS = (64, 512, 1_024, 2_048, 4_096)
"""Tokens. Two requests of each, so that a first and a cached prefill are among them, and batches of many sizes."""


async def warm_up(client: Client, texts: Sequence[str]) -> None:
    """With words of their own prefix cache (`cache_salt`). EngineRefused where the engine does not answer."""
    ids = [token for text in texts for token in await client.tokenize(text)]
    for _ in range(2):
        await asyncio.gather(*(
            client.generate(ids[:length], TOKENS, forced=ids[:TOKENS], cache_salt="warm") for length in PROMPTS
        ))
