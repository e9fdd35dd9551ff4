"""Code without comments and layout, for comparing what a reasoning writes again and again."""
from __future__ import annotations

import re
import zlib

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|#(?!include|define|pragma)[^\n]*", re.DOTALL)
_LEFT_OUT = re.compile(r"\.\.\.|…")
_SAYS_NOTHING = 2
"""Characters up to which a line (a brace, as a rule) is not compared."""


def normal_lines(source: str) -> frozenset[str]:
    lines = ("".join(line.split()) for line in _COMMENT.sub("", source).split("\n"))
    return frozenset(line for line in lines if len(line) > _SAYS_NOTHING)


def digest(source: str) -> int:
    """Equal for sources that are equal up to comments and layout; never 0."""
    return zlib.crc32("".join(_COMMENT.sub("", source).split()).encode(errors="replace")) or 1


def is_sketch(source: str) -> bool:
    return bool(_LEFT_OUT.search(source))


def share(lines: frozenset[str], earlier: frozenset[str]) -> float:
    """Share of `lines` that stand in `earlier`."""
    return len(lines & earlier) / len(lines) if lines else 0.0
