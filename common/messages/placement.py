"""Where the prefix of a reasoning lives among the replicas of an engine, and where a generation was sent for it."""
from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from common.messages.base import Message

Prefix = Literal["cached", "loaded", "computed"]
"""How a replica comes by it: from its own cache, from a pool of KV blocks, or by computing it again."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica offers a fork of the reasoning."""

    prefix: Prefix
    wait_seconds: float
    """By which what runs and waits there delays the first token."""
    seconds_per_token: float
    """That the prefix costs there besides, for each of its tokens."""

    def seconds(self, tokens: int) -> float:
        """Until the first token behind a prefix of that length."""
        return self.wait_seconds + tokens * self.seconds_per_token


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The replica a generation was sent to, and why."""

    replica: str
    """Its address."""
    prefix: Prefix
    tokens: int
    """Length of the prefix; 0 where it was not known yet."""
    seconds: dict[str, float]
    """Each replica that was there to the seconds its first token was expected after."""


class PrefixLocated(Message, frozen=True, kw_only=True):
    """Where the prefix of a run's reasoning is, and what it costs elsewhere. Published when it changes, by the
    generator of a run with more than one replica."""

    SUBJECT: ClassVar[str] = "ops.{run}.prefix.located"

    run: str
    at: float
    home: str
    """Address of the replica that generates the reasoning."""
    replicas: dict[str, Outlook]
    """Those that are there, by their address."""
