"""Cuts a text that arrives in arbitrary pieces into lines, and tells early how the line under way begins.

Everything the parser knows changes only here: at the first visible character of a line and at its end. Both are
properties of the text alone, so the pieces cannot matter.
"""
from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

LINE_LIMIT = 2000
"""A longer line is handed on in parts of this many characters, so that a text without newlines is read as well."""
_TRAILING = re.compile(r"(\s*```+)(?:[\w+#-]*[ \t]+\S|[^\w`\s+#-])")


class Begin(msgspec.Struct, frozen=True):
    """A line has its first visible character."""

    indent: int
    char: str
    at: int
    """Offset just after that character."""


class Trailing(msgspec.Struct, frozen=True):
    """A line begins with a fence and goes on with text: such a fence can only close."""

    end: int
    """Offset just after the fence."""
    at: int


class Line(msgspec.Struct, frozen=True):
    """A line is complete; `text` is without its newline."""

    text: str
    start: int
    at: int
    """How much text was read when it was complete."""

    @property
    def end(self) -> int:
        """Offset just after the last visible character."""
        return self.start + len(self.text.rstrip())


class Lines:
    """Mutable, with one owner. `at` is the offset of the next character."""

    def __init__(self, first_char: int = 0) -> None:
        self.at = first_char
        self._start = first_char
        self._parts: list[str] = []
        self._begun = False
        self._ticks = False

    def feed(self, text: str) -> Iterator[Begin | Trailing | Line]:
        """Begins, trailings and lines in the order in which the text shows them."""
        position = 0
        while position < len(text):
            room = LINE_LIMIT - (self.at - self._start)
            newline = text.find("\n", position, position + room)
            stop = min(len(text), position + room) if newline < 0 else newline
            if stop > position:
                yield from self._extend(text[position:stop])
            position = stop
            if newline >= 0:
                position += 1
                self.at += 1
                yield self._line(begun=False)
            elif self.at - self._start >= LINE_LIMIT:
                yield self._line(begun=True)

    def close(self) -> Iterator[Line]:
        """The text has ended: so has its last line."""
        if self._parts:
            yield self._line(begun=False)

    def _extend(self, piece: str) -> Iterator[Begin | Trailing]:
        if not self._begun and (stripped := piece.lstrip()):
            self._begun = True
            lead = self.at - self._start + len(piece) - len(stripped)
            indent = _width("".join(self._parts) + piece[: len(piece) - len(stripped)])
            self._ticks = stripped[0] == "`"
            yield Begin(indent, stripped[0], self._start + lead + 1)
        self._parts.append(piece)
        self.at += len(piece)
        if self._ticks and (found := _TRAILING.match("".join(self._parts))):
            self._ticks = False
            yield Trailing(self._start + found.end(1), self._start + found.end())

    def _line(self, begun: bool) -> Line:
        line = Line("".join(self._parts), self._start, self.at)
        self._parts, self._start, self._begun, self._ticks = [], self.at, begun, False
        return line


def _width(space: str) -> int:
    return len(space.expandtabs(8)) if "\t" in space else len(space)


def indent_of(text: str) -> int:
    return _width(text[: len(text) - len(text.lstrip())])
