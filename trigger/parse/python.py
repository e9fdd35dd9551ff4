"""Functions and classes in Python, by dedent, in code or prose.

A block is complete when a line begins no further in than its header does. Triple-quoted strings (CUDA sources, as a
rule) hold lines at any indent; where a sketch leaves one open, the next line that only Python can begin closes it.
"""
from __future__ import annotations

import re

import msgspec

from trigger.parse.blocks import Block
from trigger.parse.lines import Begin, Line, indent_of

_HEADER = re.compile(r"(?:async\s+def|def|class)\s+(\w+)\s*[(:]")
_DECORATOR = re.compile(r"@[A-Za-z_]")
_ONLY_PYTHON = re.compile(
    r"(?:import\s+\w+|from\s+[\w.]+\s+import\b|class\s+\w+\s*[(:]|(?:async\s+)?def\s+\w+\s*\(|@triton)"
)
_QUOTES = re.compile(r'"""|\'\'\'')
STORES = re.compile(r"\btl\.(?:store|atomic_\w+)\s*\(")
"""How a Triton kernel gives its result back."""
_GOES_ON = frozenset(")]}#")
"""A line that begins with one of these says nothing about the end of what stands above it."""


class _Open(msgspec.Struct):
    name: str
    header: str
    indent: int
    start: int
    end: int
    first_line: int


class PythonTracker:
    """Mutable, with one owner; takes the begins and the complete lines in order."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._decorators: tuple[int, int, str] | None = None
        self._quote = ""

    def fence(self) -> list[Block]:
        """A fence opened or closed: everything open is complete."""
        self._quote, self._decorators = "", None
        return self._close(0)

    def begin(self, begin: Begin) -> list[Block]:
        """The blocks that a line beginning like this ends."""
        if not self._open or self._quote or begin.char in _GOES_ON:
            return []
        return self._close(begin.indent)

    def line(self, line: Line, index: int) -> list[Block]:
        text = line.text.lstrip()
        if not text:
            return []
        done: list[Block] = []
        if self._quote and _ONLY_PYTHON.match(text):
            self._quote = ""
            done = self._close(indent_of(line.text))
        if not self._quote:
            self._header(text, line, index)
        self._extend(line)
        self._quotes(text)
        return done

    def stored(self, line: Line) -> Block | None:
        """The Triton kernel so far, where the line (the last that `line` took) stores.

        Whether this store is the last shows only later. One that goes on over more lines counts at its first: what
        follows are arguments of the same call, which a fork writes itself.
        """
        o = self._open[-1] if self._open and not self._quote else None
        if o is None or "jit" not in o.header or not STORES.search(line.text):
            return None
        return Block(
            language="python", name=o.name, header=o.header, start=o.start, end=line.end, first_line=o.first_line
        )

    def _header(self, text: str, line: Line, index: int) -> None:
        start = line.start + len(line.text) - len(text)
        if _DECORATOR.match(text):
            first = self._decorators or (start, index, "")
            self._decorators = (first[0], first[1], first[2] + text.rstrip() + "\n")
        elif header := _HEADER.match(text):
            start, first_line, decorators = self._decorators or (start, index, "")
            indent = indent_of(line.text)
            self._open.append(_Open(header[1], decorators + text.rstrip(), indent, start, line.end, first_line))
            self._decorators = None
        elif self._decorators and text[0].isalpha() and not line.text[0].isspace():
            self._decorators = None

    def _extend(self, line: Line) -> None:
        indent = indent_of(line.text)
        for block in self._open:
            if self._quote or indent > block.indent or line.text.lstrip()[0] in ")]}":
                block.end = line.end

    def _quotes(self, text: str) -> None:
        for quote in _QUOTES.findall(text):
            if not self._quote:
                self._quote = quote
            elif self._quote == quote:
                self._quote = ""

    def _close(self, indent: int) -> list[Block]:
        done: list[Block] = []
        while self._open and self._open[-1].indent >= indent:
            o = self._open.pop()
            done.append(Block(
                language="python", name=o.name, header=o.header, start=o.start, end=o.end, first_line=o.first_line
            ))
        return done
