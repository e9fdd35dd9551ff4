"""What the policies ask for; the service makes messages of it."""
from __future__ import annotations

import msgspec


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """Fork `k` generations at a character of the main generation, or propose `draft` as it stands."""

    at_char: int
    k: int
    reason: str
    numbers: dict[str, float]
    draft: str | None = None


class Abort(msgspec.Struct, frozen=True, kw_only=True):
    """End the main generation: it leads nowhere."""

    reason: str
    numbers: dict[str, float]


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """End the iteration: `candidate` is good enough."""

    candidate: str
    reason: str
    numbers: dict[str, float]
