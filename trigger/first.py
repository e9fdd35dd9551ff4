"""The first fork policy: every closed fence and completed function, with a minimum gap and a limit."""
from __future__ import annotations

from trigger.effects import Fork
from trigger.policy import ForkState, room
from trigger.settings import TriggerSettings
from trigger.signals import STRUCTURAL, Signal
from trigger.situation import Situation


def step(
    settings: TriggerSettings, state: ForkState, signal: Signal, situation: Situation
) -> tuple[ForkState, list[Fork]]:
    """At most one fork, for a signal that completes code."""
    left = room(settings, state, signal.end) if signal.kind in STRUCTURAL else 0
    if left == 0:
        return state, []
    fork = Fork(at_char=signal.end, k=1, reason=signal.kind, numbers={"left": float(left)})
    return state.after(fork), [fork]
