"""What every fork policy shares: its state, its limits, its form.

A policy is a pure function of settings, state, signal and situation. Positions count in characters: a token's place
inside a longer piece of the stream is not known, and the same text must lead to the same decisions.
"""
from __future__ import annotations

from collections.abc import Callable

import msgspec

from trigger.effects import Fork
from trigger.settings import TriggerSettings
from trigger.signals import Signal
from trigger.situation import Situation


class ForkState(msgspec.Struct, frozen=True):
    """One iteration's. After a restart it begins with what was asked for before it."""

    asked: tuple[int, ...] = ()
    """Where forks were asked for."""
    spent: int = 0
    """Generations asked for."""
    seen: frozenset[int] = frozenset()
    """Digests of the code that was complete so far."""
    news: bool = False
    """Whether code was completed since the last fork."""

    def after(self, fork: Fork) -> ForkState:
        spent = self.spent + (0 if fork.draft else fork.k)
        return ForkState((*self.asked, fork.at_char), spent, self.seen, news=False)


Policy = Callable[[TriggerSettings, ForkState, Signal, Situation], tuple[ForkState, list[Fork]]]


def room(settings: TriggerSettings, state: ForkState, at_char: int) -> int:
    """How many generations may be asked for at a position: none close to one that was, none beyond the limit."""
    if any(abs(at_char - asked) < settings.minimum_gap for asked in state.asked):
        return 0
    return max(0, settings.forks_per_iteration - state.spent)


def look(state: ForkState, signal: Signal) -> tuple[ForkState, bool]:
    """Take notice of a signal: the state that remembers its code, and whether that code is new."""
    if not signal.digest or signal.digest in state.seen:
        return state, False
    return msgspec.structs.replace(state, seen=state.seen | {signal.digest}, news=True), True
