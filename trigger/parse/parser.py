"""Puts the trackers together: text in, signals out.

The state is mutable and has one owner: copying it for each token would cost more than the parsing. The same text gives
the same signals however it is cut, positions included.
"""
from __future__ import annotations

import re
from typing import Any

from trigger.parse import draft
from trigger.parse.blocks import Block, Language
from trigger.parse.c import CTracker
from trigger.parse.classify import calls, classify
from trigger.parse.lines import Begin, Line, Lines, Trailing
from trigger.parse.normal import digest, is_sketch, normal_lines, share
from trigger.parse.prose import phrases
from trigger.parse.python import PythonTracker
from trigger.parse.repetition import Repetition
from trigger.signals import STRUCTURAL, Kind, Signal

_FENCE = re.compile(r"(\s*```+)\s*([\w+#-]*)")
_OPENS_LATE = re.compile(r"[^`]*[^`\s][^`]*(```)(python|py|cpp|c\+\+|cuda|c|triton)\s*\Z")
"""A fence that opens at the end of a sentence."""
SILENCE = 3000
"""Characters without a signal that a fork could follow, after which `silence` is one."""
_BREAKS_SILENCE = STRUCTURAL | {"announced", "decided"}


class Parser:
    """Reads one generation's reasoning from its character `first_char` on."""

    def __init__(self, first_char: int = 0) -> None:
        self._lines = Lines(first_char)
        self._text: list[str] = []
        self._starts: list[int] = []
        self._c = CTracker()
        self._python = PythonTracker()
        self._repetition = Repetition()
        self._repeating = False
        self._fence: tuple[int, int] | None = None
        self._trailed = False
        self._kernels: set[Language] = set()
        self._callers: set[Language] = set()
        self._last_kernel: frozenset[str] = frozenset()
        self._quiet_since = first_char
        self._found: list[Signal] = []

    def feed(self, text: str) -> list[Signal]:
        """The signals that `text`, the next piece, completes, in the order of `seen`."""
        for event in self._lines.feed(text):
            self._take(event)
        return self._drain()

    def close(self) -> list[Signal]:
        """The reasoning has ended: what waited for another line is complete."""
        for line in self._lines.close():
            self._take(line)
        self._blocks(self._python.fence(), self._lines.at)
        return self._drain()

    def _drain(self) -> list[Signal]:
        found, self._found = self._found, []
        return found

    def _take(self, event: Begin | Trailing | Line) -> None:
        match event:
            case Begin():
                self._blocks(self._python.begin(event), event.at)
            case Trailing() if self._fence is not None:
                self._close_fence(len(self._text), event.end, event.at)
                self._trailed = True
            case Line():
                self._line(event)

    def _line(self, line: Line) -> None:
        index = len(self._text)
        self._text.append(line.text)
        self._starts.append(line.start)
        fence = None if self._trailed else _FENCE.match(line.text)
        self._trailed = False
        if fence or (self._fence is None and (fence := _OPENS_LATE.match(line.text))):
            self._fence_line(line, fence, index)
        else:
            self._blocks(self._c.line(line, index) + self._python.line(line, index), line.at)
            self._stored(line)
            self._phrases(line)
        self._silence(line)
        self._repeats(line)

    def _fence_line(self, line: Line, fence: re.Match[str], index: int) -> None:
        """A fence with a language opens a block even where the last one was left open."""
        closes = self._fence is not None
        self._close_fence(index, line.start + fence.end(1), line.at)
        if fence[2] or not closes:
            self._fence = (line.start + fence.start(1), index)

    def _close_fence(self, index: int, end: int, seen: int) -> None:
        """Whatever code was open does not go on behind a fence, be it a first or a last one."""
        self._blocks(self._python.fence(), seen)
        self._c.reset()
        if self._fence is None:
            return
        start, first = self._fence
        source = draft.from_fence("\n".join(self._text[first + 1 : index]))
        assemblable = source is not None or self._assemblable()
        body = "\n".join(self._text[first + 1 : index])
        self._found_code("fence_closed", start, end, seen, body, assemblable=assemblable, draft=source)
        self._fence = None

    def _blocks(self, blocks: list[Block], seen: int) -> None:
        for block in blocks:
            text = self._source(block)
            kind = classify(block, text)
            if kind == "kernel_completed":
                self._kernels.add(block.language)
            if calls(kind, block, text):
                self._callers.add(block.language)
            source = self._module(block) if kind == "model_completed" and self._fence is None else None
            assemblable = self._assemblable() and kind != "function_completed"
            self._found_code(
                kind, block.start, block.end, seen, text, name=block.name, assemblable=assemblable, draft=source,
                familiar=self._familiar(text) if kind == "kernel_completed" else None,
            )

    def _stored(self, line: Line) -> None:
        if (block := self._python.stored(line)) is None:
            return
        text = self._source(block)
        familiar = self._likeness(normal_lines(text))
        self._found_code(
            "kernel_stored", block.start, block.end, line.at, text, name=block.name, familiar=familiar,
            assemblable=self._callers >= {"python"},
        )

    def _familiar(self, kernel: str) -> float | None:
        """Compared with the last kernel that was written out."""
        lines = normal_lines(kernel)
        likeness = self._likeness(lines)
        if not is_sketch(kernel):
            self._last_kernel = lines
        return likeness

    def _likeness(self, lines: frozenset[str]) -> float | None:
        return share(lines, self._last_kernel) if self._last_kernel else None

    def _assemblable(self) -> bool:
        """A kernel and its caller stand in the text, in one language; which came first does not matter."""
        return not self._kernels.isdisjoint(self._callers)

    def _source(self, block: Block) -> str:
        """The block's text: whole lines from its first, so that offsets need no search."""
        return "\n".join(self._text[block.first_line :])[block.start - self._starts[block.first_line] :]

    def _module(self, block: Block) -> str | None:
        """The module that an unfenced ModelNew ends, where it is complete."""
        text = "\n".join(self._text)
        return draft.from_text(text[: block.end - self._starts[0]]) if block.name == "ModelNew" else None

    def _phrases(self, line: Line) -> None:
        for kind, offset in phrases(line.text):
            self._signal(kind, line.start + offset, line.end, line.at)

    def _silence(self, line: Line) -> None:
        if line.at - self._quiet_since >= SILENCE:
            self._signal("silence", self._quiet_since, line.end, line.at)
            self._quiet_since = line.at

    def _repeats(self, line: Line) -> None:
        at = None if self._repeating else self._repetition.feed(line.text + "\n")
        if at is not None:
            self._repeating = True
            self._signal("repeating", line.start, line.end, line.at)

    def _found_code(self, kind: Kind, start: int, end: int, seen: int, source: str, **more: Any) -> None:
        self._signal(kind, start, end, seen, digest=digest(source), sketch=is_sketch(source), **more)

    def _signal(self, kind: Kind, start: int, end: int, seen: int, **more: Any) -> None:
        if kind in _BREAKS_SILENCE:
            self._quiet_since = seen
        self._found.append(Signal(kind=kind, start=start, end=end, seen=seen, **more))
