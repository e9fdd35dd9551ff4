"""Settings of the trigger, section `trigger`."""
from __future__ import annotations

import msgspec


class TriggerSettings(msgspec.Struct, frozen=True, kw_only=True):
    forks_per_trigger: int = 1
    """Generations asked for at one position (k)."""
    forks_per_iteration: int = 6
    """Generations asked for in one iteration, at most."""
    minimum_gap: int = 600
    """Characters of reasoning between two fork positions, at least (about 4 characters a token)."""
