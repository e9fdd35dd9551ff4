"""Virtual time: what happens when, in order."""
from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Clock:
    """Things that happen at the same moment happen in the order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._planned, (self.now + max(0.0, seconds), next(self._order), what))

    def step(self) -> bool:
        """The next thing happens; False where nothing is planned."""
        if not self._planned:
            return False
        self.now, _, what = heapq.heappop(self._planned)
        what()
        return True
