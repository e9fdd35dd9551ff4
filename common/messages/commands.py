"""What the trigger asks of the generator. A request for an iteration that is not open is ignored and counted."""
from __future__ import annotations

from typing import ClassVar

import msgspec

from common.messages.base import Message


class ForkRequest(Message, frozen=True, kw_only=True):
    """Fork `k` non-reasoning generations from `generation` at a position (tokens where known, else characters)."""

    SUBJECT: ClassVar[str] = "cmd.{run}.fork"

    run: str
    iteration: int
    generation: str
    at: float
    at_token: int | None
    at_char: int
    k: int
    reason: str
    """The signal that fired, e.g. `fence_closed`."""
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    """What the decision was computed from, by name."""
    draft: str | None = None
    """A complete draft found in the reasoning: proposed as it stands, without a generation."""


class StopRequest(Message, frozen=True, kw_only=True):
    """A measured candidate is good enough: end the iteration."""

    SUBJECT: ClassVar[str] = "cmd.{run}.stop"

    run: str
    iteration: int
    at: float
    candidate: str
    reason: str
    numbers: dict[str, float] = msgspec.field(default_factory=dict)


class AbortRequest(Message, frozen=True, kw_only=True):
    """A generation leads nowhere (it repeats itself): end it. Its iteration goes on to its end without it."""

    SUBJECT: ClassVar[str] = "cmd.{run}.abort"

    run: str
    iteration: int
    generation: str
    at: float
    reason: str
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
