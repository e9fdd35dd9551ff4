"""Which replica of the engine a fork is sent to. Pure.

The replica that generates the reasoning has its prefix already. Another one has to load it from the KV tier, or to
compute it: both cost time that waiting in the first one's line may not.
"""
from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One engine, as it is now."""

    name: str
    wait_seconds: float
    """How long a request that comes now waits before its first token, but for its prefix."""
    shares_pool: bool = False
    """Whether it can load blocks from a pool that the reasoning's replica stores to."""


class PrefixCost(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds a prefix costs where it is not in the engine's own cache; measured, by length."""

    load_seconds_per_token: float
    compute_seconds_per_token: float


def place(home: str, tokens: int, replicas: Sequence[Replica], cost: PrefixCost) -> str:
    """The replica whose first token comes soonest; the `home` of the reasoning where two are equal.

    `tokens`: length of the prefix. ValueError without a replica.
    """
    if not replicas:
        raise ValueError("there is no replica to send a fork to")
    best = min(replicas, key=lambda replica: (_delay(replica, home, tokens, cost), replica.name != home))
    return best.name


def _delay(replica: Replica, home: str, tokens: int, cost: PrefixCost) -> float:
    if replica.name == home:
        return replica.wait_seconds
    each = cost.load_seconds_per_token if replica.shares_pool else cost.compute_seconds_per_token
    return replica.wait_seconds + tokens * each
