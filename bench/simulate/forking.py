"""When a simulated run forks: the trigger's policies, or a burst at every completed kernel."""
from __future__ import annotations

from collections.abc import Callable

from bench.simulate.workload import CHARS_PER_TOKEN
from bench.simulate.world import World
from trigger.decide import decide
from trigger.effects import Fork
from trigger.ledger import Ledger
from trigger.policy import ForkState
from trigger.settings import TriggerSettings
from trigger.signals import Signal


class Forker:
    """`load` gives the jobs all workers take at once and the candidates that wait, over all runs."""

    def __init__(self, world: World, load: Callable[[], tuple[int, int]]) -> None:
        self.ledger = Ledger()
        self._world = world
        self._load = load
        self._digests = 0
        self.begin()

    def begin(self) -> None:
        """A new iteration."""
        self._state = ForkState()

    def asks(self, tokens: float, running: int) -> list[Fork]:
        """What a kernel that is complete after so many tokens leads to."""
        at = round(tokens * CHARS_PER_TOKEN)
        match self._world.forks:
            case "none":
                return []
            case "burst":
                return [Fork(at_char=at, k=self._world.burst, reason="kernel_completed", numbers={})]
            case "first" | "value" as policy:
                return self._policy(policy, at, running)

    def _policy(self, policy: str, at: int, running: int) -> list[Fork]:
        self._digests += 1
        signal = Signal(kind="kernel_completed", start=at, end=at, seen=at, digest=self._digests)
        places, waiting = self._load()
        rate = self._world.rate / (1 + self._world.slowdown * running)
        situation = self.ledger.situation(rate=rate, places=places, waiting=waiting)
        settings = TriggerSettings(policy=policy, forks_per_iteration=self._world.forks_per_iteration)  # type: ignore[arg-type]
        self._state, effects = decide(settings, self._state, signal, situation)
        return [effect for effect in effects if isinstance(effect, Fork)]
