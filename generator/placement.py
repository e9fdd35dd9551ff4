"""Which replica of the engine a generation is sent to. Pure.

The replica that generates the reasoning has its prefix already. Another one has to load it from the KV tier, or to
compute it: both cost time that waiting in the first one's line may not.
"""
from __future__ import annotations

from collections.abc import Sequence

import msgspec

from common.messages import Outlook, Placement


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


def outlook(replica: Replica, home: str | None, cost: PrefixCost) -> Outlook:
    """What a replica offers a fork of the reasoning at `home`, if there is one."""
    if replica.name == home:
        return Outlook(prefix="cached", wait_seconds=replica.wait_seconds, seconds_per_token=0.0)
    if home is not None and replica.shares_pool:
        each = cost.load_seconds_per_token
        return Outlook(prefix="loaded", wait_seconds=replica.wait_seconds, seconds_per_token=each)
    each = cost.compute_seconds_per_token
    return Outlook(prefix="computed", wait_seconds=replica.wait_seconds, seconds_per_token=each)


def place(home: str | None, tokens: int, replicas: Sequence[Replica], cost: PrefixCost) -> Placement:
    """The replica whose first token comes soonest; the `home` of the reasoning where two are equal, else the first.

    `tokens`: length of the prefix. ValueError without a replica.
    """
    if not replicas:
        raise ValueError("there is no replica to send a generation to")
    looks = {replica.name: outlook(replica, home, cost) for replica in replicas}
    seconds = {name: look.seconds(tokens) for name, look in looks.items()}
    best = min(seconds, key=lambda name: (seconds[name], name != home))
    return Placement(replica=best, prefix=looks[best].prefix, tokens=tokens, seconds=seconds)
