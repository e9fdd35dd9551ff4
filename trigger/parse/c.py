"""Functions and OpenMP loops in C++ and CUDA, by braces, in code or prose.

Braces in strings and comments do not count. A brace that a sketch leaves open only hides what encloses it: each
function is complete at the depth at which it began, and the next one is found all the same.
"""
from __future__ import annotations

import re

import msgspec

from trigger.parse.blocks import Block
from trigger.parse.lines import Line

_SPECIAL = re.compile(r"[{};]")
_HIDDEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'|//.*|/\*.*?\*/')
_QUALIFIERS = ("const", "noexcept", "override", "mutable")
_NAME = re.compile(r"([A-Za-z_]\w*)\s*\Z")
_RETURNS = re.compile(
    r"(?:\b(?:void|float|double|int|long|short|char|bool|auto|size_t|unsigned|signed|half|scalar_t|T|Tensor|dim3"
    r"|float\d|\w+_t|\w+::[\w:]+)|>|\b__\w+__(?:\s*\([^()]*\))?)[\s*&]*\Z"
)
"""What stands before a function's name. Types are listed, because prose has parentheses and braces as well."""
_QUALIFIED = re.compile(r"\b(?:template|extern|static|inline|__global__|__device__|__host__)\b")
_NOT_A_FUNCTION = frozenset({
    "if", "for", "while", "switch", "catch", "return", "else", "do", "sizeof", "defined", "__launch_bounds__",
})
_PRAGMA = re.compile(r"\s*#\s*pragma\s+omp\s+.*\b(?:parallel|for|simd)\b")
_HEADER_LIMIT = 2000
_AGE_LIMIT = 16_000
"""Characters after which an open function is taken for a sketch that never closes."""


class _Open(msgspec.Struct):
    name: str
    header: str
    start: int
    depth: int
    first_line: int


class CTracker:
    """Mutable, with one owner; `line` takes the complete lines in order, numbered from 0."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._depth = 0
        self._header = ""
        self._header_lines: list[int] = []
        self._comment = False
        self._parallel: tuple[int, int] | None = None
        self._round = 0

    def reset(self) -> None:
        """A fence opened or closed: nothing goes on across it."""
        self.__init__()  # type: ignore[misc]

    def line(self, line: Line, index: int) -> list[Block]:
        """The blocks that end on this line."""
        if not line.text.strip():
            self._blank()
        text = self._visible(line.text) + "\n"
        if _PRAGMA.match(text):
            self._parallel = (line.start + len(text) - len(text.lstrip()), index)
            self._round = 0
            text = " " * len(text)
        done: list[Block] = []
        last = 0
        for special in _SPECIAL.finditer(text):
            self._header += text[last : special.start()]
            self._special(special[0], line.start + special.start(), index, done)
            last = special.end()
        self._header = (self._header + text[last:])[-_HEADER_LIMIT:]
        return done

    def _visible(self, text: str) -> str:
        """The line with strings and comments blanked, at its full length."""
        if self._comment:
            head, end, rest = text.partition("*/")
            self._comment = not end
            text = " " * len(head + end) + rest
        if '"' in text or "/" in text or "'" in text:
            text = _HIDDEN.sub(lambda m: " " * len(m[0]), text)
            if (start := text.find("/*")) >= 0:
                self._comment = True
                text = text[:start].ljust(len(text))
        return text

    def _blank(self) -> None:
        """A blank line ends a header, unless it stands inside an argument list or under a CUDA qualifier."""
        if "__global__" not in self._header and self._header.count("(") <= self._header.count(")"):
            self._header = ""

    def _special(self, mark: str, at: int, index: int, done: list[Block]) -> None:
        if mark == "{":
            self._enter(at, index)
            self._depth += 1
        elif mark == "}":
            self._depth -= 1
            self._leave(at + 1, done)
        elif self._parallel:
            self._statement(at + 1, done)
        self._header = ""

    def _statement(self, end: int, done: list[Block]) -> None:
        """A semicolon under a pragma, outside parentheses, ends a loop without braces."""
        self._round += self._header.count("(") - self._header.count(")")
        if self._round > 0 or self._parallel is None:
            return
        start, first_line = self._parallel
        if not self._open:
            done.append(Block(
                language="c", name="", header="#pragma omp", start=start, end=end, first_line=first_line
            ))
        self._parallel = None

    def _enter(self, at: int, index: int) -> None:
        found = function_header(self._header)
        if found:
            name, start = found
            lines = self._header.count("\n", start)
            header = self._header[start:].strip()
            self._push(_Open(name, header, at - len(self._header) + start, self._depth, index - lines))
        elif self._parallel and not self._open:
            start, first_line = self._parallel
            self._push(_Open("", "#pragma omp", start, self._depth, first_line))
        self._parallel = None

    def _push(self, opened: _Open) -> None:
        self._open = [o for o in self._open if opened.start - o.start < _AGE_LIMIT]
        self._open.append(opened)

    def _leave(self, end: int, done: list[Block]) -> None:
        while self._open and self._open[-1].depth >= self._depth:
            o = self._open.pop()
            if o.depth == self._depth:
                done.append(Block(
                    language="c", name=o.name, header=o.header, start=o.start, end=end, first_line=o.first_line
                ))


def function_header(text: str) -> tuple[str, int] | None:
    """Name and offset of the function whose header ends `text`, or None where no body of a function follows."""
    text = text.rstrip()
    while text.endswith(_QUALIFIERS):
        text = text[: -len(re.search(r"\w+\Z", text)[0])].rstrip()  # type: ignore[index]
    if not text.endswith(")"):
        return None
    before = text[: _opening(text)]
    name = _NAME.search(before)
    if name is None or name[1] in _NOT_A_FUNCTION or not _RETURNS.search(before[: name.start()]):
        return None
    return name[1], _declaration_start(before, name.start())


def _opening(text: str) -> int:
    """Offset of the parenthesis that the last character closes; 0 where it is missing."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if depth == 0:
            return at
    return 0


def _declaration_start(before: str, name_at: int) -> int:
    """Where the declaration starts: at its first qualifier in the same paragraph, else with the name's line."""
    paragraph = before.rfind("\n\n", 0, name_at) + 1
    qualified = _QUALIFIED.search(before, paragraph, name_at)
    start = qualified.start() if qualified else before.rfind("\n", 0, name_at) + 1
    return start + len(before[start:]) - len(before[start:].lstrip())
