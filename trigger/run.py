"""What the trigger needs to know of a run: a fold over its facts, the stop it wants included."""
from __future__ import annotations

import msgspec

from common.messages import (
    Fact,
    IterationEnded,
    IterationStarted,
    Outcome,
    ResultAccepted,
    RunEnded,
    RunStarted,
    Stage,
)
from trigger import stop
from trigger.effects import Stop

LIBRARY_ONLY = "library_only"


class RunState(msgspec.Struct, frozen=True):
    n: int = 0
    """The last fact folded; a fact that was seen before is skipped."""
    speculate: bool = False
    policy: str = "never"
    allow_library: bool = False
    iteration: int | None = None
    """The open iteration."""
    H: tuple[float, ...] = ()
    barred: frozenset[str] = frozenset()
    """Candidates of the open iteration that only call libraries where the task does not allow it."""
    wanted: Stop | None = None
    """The stop of the open iteration that its results justify; the first one stays."""
    ended: bool = False

    last: int = 0
    """The last iteration that was begun."""

    def awaits(self, iteration: int) -> bool:
        """Whether the facts that say what to do about `iteration` are still to come."""
        return iteration > self.last and not self.ended

    def forks_from(self, iteration: int) -> bool:
        """Whether `iteration` is worth reading."""
        return self.speculate and self.iteration == iteration and self.wanted is None


def step(state: RunState, fact: Fact) -> RunState:
    """The effect is part of the state, because after a restart the same stop follows from the same facts."""
    if fact.n <= state.n:
        return state
    state = _folded(msgspec.structs.replace(state, n=fact.n), fact)
    if isinstance(fact, ResultAccepted) and fact.iteration == state.iteration and state.wanted is None:
        return msgspec.structs.replace(state, wanted=_stop(state, fact))
    return state


def _folded(state: RunState, fact: Fact) -> RunState:
    match fact:
        case RunStarted():
            policy = fact.stop if fact.stop in stop.POLICIES else "never"
            changes = {"speculate": fact.speculate, "policy": policy, "allow_library": fact.task.allow_library}
        case IterationStarted():
            began = {"iteration": fact.iteration, "last": fact.iteration, "H": fact.H}
            changes = {**began, "barred": frozenset(), "wanted": None}
        case ResultAccepted() if not state.allow_library and LIBRARY_ONLY in fact.judgement.labels:
            changes = {"barred": state.barred | {fact.candidate}}
        case IterationEnded():
            changes = {"iteration": None, "wanted": None}
        case RunEnded():
            changes = {"iteration": None, "wanted": None, "ended": True}
        case _:
            return state
    return msgspec.structs.replace(state, **changes)


def _stop(state: RunState, fact: ResultAccepted) -> Stop | None:
    """Only a profile that passed, of a kernel that may enter H, can end an iteration."""
    judgement = fact.judgement
    if fact.stage is not Stage.PROFILE or judgement.outcome is not Outcome.PASSED or judgement.measurement is None:
        return None
    if fact.candidate in state.barred:
        return None
    return stop.decide(state.policy, fact.candidate, judgement.measurement, state.H)
