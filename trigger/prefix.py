"""What a fork's prefix costs on the replica that it will be sent to. Pure."""
from __future__ import annotations

from collections.abc import Mapping

import msgspec

from common.messages import Outlook


class PrefixPrice(msgspec.Struct, frozen=True):
    first_token: float
    """Seconds until the fork's first token."""
    computed: float
    """Of these, seconds for which an engine computes the prefix again: its other streams stand still meanwhile."""


def prefix_price(replicas: Mapping[str, Outlook], tokens: float) -> PrefixPrice:
    """At the replica with the soonest first token, as the generator chooses. Nothing where no replica is known."""
    best = min(replicas.values(), key=lambda look: look.seconds(round(tokens)), default=None)
    if best is None:
        return PrefixPrice(0.0, 0.0)
    again = tokens * best.seconds_per_token if best.prefix == "computed" else 0.0
    return PrefixPrice(best.seconds(round(tokens)), again)
