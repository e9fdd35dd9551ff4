"""The first fork policy: every closed fence and completed function, with a minimum gap and a limit."""
from __future__ import annotations

import msgspec

from trigger.effects import Fork
from trigger.settings import TriggerSettings
from trigger.signals import STRUCTURAL, Signal


class FirstState(msgspec.Struct, frozen=True):
    """Where this iteration was forked, in characters. After a restart it begins with what was asked for before it."""

    asked: tuple[int, ...] = ()


def step(settings: TriggerSettings, state: FirstState, signal: Signal) -> tuple[FirstState, list[Fork]]:
    """At most one fork, for a signal that completes code.

    Positions count in characters: a token's place inside a longer piece of the stream is not known, and the same text
    must lead to the same decisions.
    """
    if signal.kind not in STRUCTURAL:
        return state, []
    left = settings.forks_per_iteration - len(state.asked) * settings.forks_per_trigger
    gap = min((abs(signal.end - asked) for asked in state.asked), default=signal.end)
    k = min(settings.forks_per_trigger, left)
    if k <= 0 or (state.asked and gap < settings.minimum_gap):
        return state, []
    numbers = {"gap": float(gap), "left": float(left)}
    fork = Fork(at_char=signal.end, k=k, reason=signal.kind, numbers=numbers)
    return FirstState((*state.asked, signal.end)), [fork]
