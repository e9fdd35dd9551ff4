"""Finds closed fences and completed functions in a text that arrives in arbitrary pieces.

The parser's state is mutable and has one owner: copying it for each token would cost more than the parsing.
The same text gives the same signals however it is cut, positions included.
"""
from __future__ import annotations

import re

from trigger.signals import Kind, Signal

_MARKS = re.compile(r"[{};]")
_C_HEADER = re.compile(r"[\w:>*&\]]\s+[*&]*(\w+)\s*\([^;{}]*\)\s*(?:const|noexcept|override)?\s*\Z")
_CONTROL = {"if", "for", "while", "switch", "catch", "return", "else"}
_PY_HEADER = re.compile(r"(?:async\s+)?(?:def|class)\s+(\w+)")
_CLOSERS = ")]}"
"""A line that begins with one of these goes on with what stands above it, however little it is indented."""
_HEADER_LIMIT = 2000


class Parser:
    """Reads one generation's reasoning from its character `first_char` on."""

    def __init__(self, first_char: int = 0) -> None:
        self._at = first_char
        self._line = ""
        self._line_start = first_char
        self._begun = False
        self._fence: int | None = None
        self._defs: list[tuple[int, int, str]] = []
        self._text_end = first_char
        self._header = ""
        self._function: tuple[int, str] | None = None
        self._depth = 0
        self._found: list[Signal] = []

    def feed(self, text: str) -> list[Signal]:
        """The signals that `text`, the next piece, completes, in the order of `seen`."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._extend(line)
            self._end_line()
        self._extend(rest)
        return self._take()

    def close(self) -> list[Signal]:
        """The reasoning has ended: what waited for another line is complete."""
        self._fence_line()
        self._remember_text()
        self._dedent(-1, self._at)
        return self._take()

    def _take(self) -> list[Signal]:
        found, self._found = self._found, []
        return found

    def _signal(self, kind: Kind, start: int, end: int, seen: int, name: str = "") -> None:
        self._found.append(Signal(kind=kind, start=start, end=end, seen=seen, name=name))

    def _extend(self, piece: str) -> None:
        self._line += piece
        if not self._begun and (stripped := self._line.lstrip()):
            self._begun = True
            indent = len(self._line) - len(stripped)
            if stripped[0] not in _CLOSERS:
                self._dedent(indent, self._line_start + indent + 1)
        self._braces(piece)
        self._at += len(piece)

    def _end_line(self) -> None:
        self._fence_line()
        self._remember_text()
        if header := _PY_HEADER.match(self._line.lstrip()):
            indent = len(self._line) - len(self._line.lstrip())
            self._defs.append((indent, self._line_start + indent, header[1]))
        self._header = (self._header + "\n")[-_HEADER_LIMIT:] if self._begun else ""
        self._at += 1
        self._line, self._line_start, self._begun = "", self._at, False

    def _remember_text(self) -> None:
        if self._begun:
            self._text_end = self._line_start + len(self._line.rstrip())

    def _fence_line(self) -> None:
        stripped = self._line.strip()
        if not stripped.startswith("```"):
            return
        if self._fence is None:
            self._fence = self._line_start
        elif not stripped.strip("`"):
            self._signal("fence_closed", self._fence, self._line_start + len(self._line.rstrip()), self._at)
            self._fence = None

    def _dedent(self, indent: int, seen: int) -> None:
        """A line begins at `indent`: Python blocks that began there or further in are complete."""
        while self._defs and self._defs[-1][0] >= indent:
            _, start, name = self._defs.pop()
            self._signal("function_completed", start, self._text_end, seen, name)

    def _braces(self, piece: str) -> None:
        last = 0
        for mark in _MARKS.finditer(piece):
            self._header = (self._header + piece[last : mark.start()])[-_HEADER_LIMIT:]
            self._brace(mark[0], self._at + mark.start())
            last = mark.end()
        self._header = (self._header + piece[last:])[-_HEADER_LIMIT:]

    def _brace(self, mark: str, at: int) -> None:
        header = _C_HEADER.search(self._header) if mark == "{" and self._function is None else None
        if header and header[1] not in _CONTROL:
            self._function = (at - len(self._header) + header.start(), header[1])
            self._depth = 0
        self._header = ""
        if self._function is None or mark == ";":
            return
        self._depth += 1 if mark == "{" else -1
        if self._depth == 0:
            start, name = self._function
            self._signal("function_completed", start, at + 1, at + 1, name)
            self._function = None
