"""From a signal to effects: the one way in for the service and for the benchmarks."""
from __future__ import annotations

from trigger import first, value
from trigger.effects import Abort, Fork
from trigger.policy import ForkState, Policy
from trigger.settings import TriggerSettings
from trigger.signals import Signal
from trigger.situation import Situation

POLICIES: dict[str, Policy] = {"value": value.step, "first": first.step}


def decide(
    settings: TriggerSettings, state: ForkState, signal: Signal, situation: Situation
) -> tuple[ForkState, list[Fork] | list[Abort]]:
    if signal.kind == "repeating":
        return state, [Abort(reason="repeating", numbers={"at_char": float(signal.end)})]
    return POLICIES[settings.policy](settings, state, signal, situation)
