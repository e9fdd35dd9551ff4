"""A prefix cache that remembers only which blocks of tokens it has seen, for `cached_tokens` as an engine counts them.

Like vLLM's: full blocks, each identified by its tokens and everything before them.
"""
from __future__ import annotations

from collections.abc import Sequence

BLOCK = 16


class PrefixCache:
    def __init__(self, limit: int = 1_000_000) -> None:
        self._limit = limit
        self._seen: dict[int, None] = {}

    def cached(self, ids: Sequence[int]) -> int:
        """Tokens of the prompt already seen; never all of them, since the last has to be computed to go on."""
        count, chain = 0, 0
        for at in range(0, len(ids) - BLOCK, BLOCK):
            chain = hash((chain, *ids[at : at + BLOCK]))
            if chain not in self._seen:
                break
            count += BLOCK
        return count

    def sequence(self, ids: Sequence[int]) -> Held:
        """Remembers a prompt; what it generates is added to the returned sequence."""
        sequence = Held(self)
        sequence.add(ids)
        return sequence

    def remember(self, block: int) -> None:
        self._seen[block] = None
        if len(self._seen) > self._limit:
            del self._seen[next(iter(self._seen))]


class Held:
    """One request's tokens, block by block."""

    def __init__(self, cache: PrefixCache) -> None:
        self._cache = cache
        self._chain = 0
        self._open: list[int] = []

    def add(self, ids: Sequence[int]) -> None:
        self._open += ids
        while len(self._open) >= BLOCK:
            self._chain = hash((self._chain, *self._open[:BLOCK]))
            del self._open[:BLOCK]
            self._cache.remember(self._chain)
