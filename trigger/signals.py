"""What the parser recognises in a reasoning text."""
from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["fence_closed", "function_completed"]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One construct is complete. Offsets count characters from the generation's first."""

    kind: Kind
    start: int
    end: int
    """Just after the construct's last character: where a fork is cut."""
    seen: int
    """How much text had to be read to know it; `end` or a little more (a dedent shows on the next line)."""
    name: str = ""
