"""What the language trackers hand on: a block of code that is complete."""
from __future__ import annotations

from typing import Literal

import msgspec

Language = Literal["c", "python"]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A function, class or parallel loop, from its first character to just after its last."""

    language: Language
    name: str
    header: str
    """What stands before its body, decorators and qualifiers included."""
    start: int
    end: int
    first_line: int
    """Index of the line on which it starts."""
