"""A cache of prefixes in which the end of the least recently used one goes first. Pure; sizes in tokens."""
from __future__ import annotations

from collections import OrderedDict


class Chains:
    """`held` counts from each prefix's beginning: what follows a missing token is of no use."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._held: OrderedDict[str, int] = OrderedDict()
        self._used = 0

    def held(self, chain: str) -> int:
        return self._held.get(chain, 0)

    def touch(self, chain: str) -> None:
        if chain in self._held:
            self._held.move_to_end(chain)

    def put(self, chain: str, tokens: int, pinned: frozenset[str] = frozenset()) -> bool:
        """Hold at least so many tokens of a prefix, at the cost of others that are not pinned; whether it fits."""
        more = max(0, tokens - self.held(chain))
        self._make_room(more, pinned | {chain})
        if self._used + more > self.budget:
            return False
        self._held[chain] = self.held(chain) + more
        self._held.move_to_end(chain)
        self._used += more
        return True

    def drop(self, chain: str) -> None:
        self._used -= self._held.pop(chain, 0)

    def _make_room(self, more: int, pinned: frozenset[str]) -> None:
        for chain in [name for name in self._held if name not in pinned]:
            excess = self._used + more - self.budget
            if excess <= 0:
                return
            if self._held[chain] <= excess:
                self.drop(chain)
            else:
                self._held[chain] -= excess
                self._used -= excess
