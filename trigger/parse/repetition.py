"""Notices a generation that repeats itself: its last stretch compresses to next to nothing.

A loop that a model cannot leave rarely repeats to the letter ("also compatible with X", "also compatible with Y"), so
compression is a better measure than equality. Two windows: a short one to notice soon, a long one for long periods.
Figures: over recorded QwQ-32B and gpt-oss-120b reasoning the short window's ratio stays above 0.16 in sound traces and
falls below 0.08 in every degenerate one (`python -m bench.trigger` counts both).
"""
from __future__ import annotations

import zlib

import msgspec


class Window(msgspec.Struct, frozen=True):
    length: int
    step: int
    ratio: float
    """At or below it the window counts as repetition."""
    times: int
    """Windows in a row that must count."""


WINDOWS = (Window(4096, 2048, 0.12, 2), Window(24_576, 8192, 0.08, 2))


class Repetition:
    """Mutable, with one owner. Looks at fixed offsets of the text, so pieces do not matter."""

    def __init__(self) -> None:
        self._text = ""
        self._length = 0
        self._next = [window.length for window in WINDOWS]
        self._streak = [0] * len(WINDOWS)

    def feed(self, text: str) -> int | None:
        """Characters read when repetition was first certain, or None. `text` is appended to what was read."""
        self._text += text
        self._length += len(text)
        if self._length < min(self._next):
            return None
        found = [at for i, window in enumerate(WINDOWS) if (at := self._look(i, window)) is not None]
        self._text = self._text[-(WINDOWS[-1].length + WINDOWS[-1].step) :]
        return min(found, default=None)

    def _look(self, i: int, window: Window) -> int | None:
        while self._next[i] <= self._length:
            at = self._next[i]
            stop = len(self._text) - (self._length - at)
            self._streak[i] = self._streak[i] + 1 if self._ratio(stop - window.length, stop) <= window.ratio else 0
            self._next[i] += window.step
            if self._streak[i] >= window.times:
                return at
        return None

    def _ratio(self, start: int, stop: int) -> float:
        raw = self._text[start:stop].encode(errors="replace")
        return len(zlib.compress(raw, 1)) / len(raw)
