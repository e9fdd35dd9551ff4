"""Where the seconds of a measurement go, by step, for the record: no figure rests on them."""
from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Spent:
    """Wall seconds by step, each without the steps within it. On a GPU what a step launches may be waited for in a
    later one."""

    def __init__(self) -> None:
        self._seconds = defaultdict[str, float](float)
        self._began = time.monotonic()
        self._within: list[str] = []

    @contextmanager
    def on(self, step: str) -> Iterator[None]:
        self._book(self._within[-1] if self._within else "other")
        self._within.append(step)
        try:
            yield
        finally:
            self._book(self._within.pop())

    def _book(self, step: str) -> None:
        now = time.monotonic()
        self._seconds[step] += now - self._began
        self._began = now

    def record(self) -> dict[str, float]:
        return dict(self._seconds)
