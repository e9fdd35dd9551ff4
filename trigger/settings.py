"""Settings of the trigger, section `trigger`."""
from __future__ import annotations

from typing import Literal

import msgspec


class TriggerSettings(msgspec.Struct, frozen=True, kw_only=True):
    policy: Literal["value", "first"] = "value"
    """When to fork: `value` weighs gain against cost; `first` forks wherever code is complete."""
    forks_per_iteration: int = 8
    """Generations asked for in one iteration, at most."""
    most_forks_at_once: int = 2
    """Generations asked for at one position, at most."""
    minimum_gap: int = 400
    """Characters of reasoning between two fork positions, at least (about 4 characters a token)."""
    stale_chars: int = 4000
    """A position further back than this is not forked any more when a text is read again, after a restart."""
    fork_slowdown: float = 0.03
    """Share by which one running fork slows the main generation down."""
    token_price: float = 0.08
    """Worth of a fork's token in main tokens: what the saved time may cost. Of 0.03 to 0.14 the best on the half of the
    recorded tasks that the priors are fitted on; beyond 0.1 kernels that settle are not forked any more."""
    prefix_price: float = 1.0
    """Worth of a second for which an engine computes a fork's prefix again: its other streams stand still."""
    tail_price: float = 0.5
    """Share of a candidate's judging time that counts as cost if the reasoning ends before its outcome is known."""
    queue_price: float = 0.1
    """Share of a candidate's judging time that counts as cost for each one it holds up."""
    difference: float = 0.1
    """Probability that a second fork at the same place gives another kernel (fork temperatures are low)."""
