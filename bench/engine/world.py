"""What stands in for the judge while recorded iterations are played, and what an iteration of them took."""
from __future__ import annotations

import msgspec

from bench.engine.recorded import Outcome
from common.messages import Feedback, Judgement, Measurement
from common.messages import Outcome as Verdict

JUDGE_LIMIT = 30.0
"""Seconds: a few recorded candidates took many minutes."""
_SPREAD = 0.03
"""Half width of a stood-in measurement's confidence interval."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    validators: int = 2
    profilers: int = 1
    validation_share: float = 0.6
    """Part of a recorded judging time that is validation; a candidate that fails takes that part alone."""
    drain_seconds: float = 60.0
    judge_scale: float = 1.0
    """Recorded judging times are multiplied by it."""

    def seconds(self, outcome: Outcome) -> tuple[float, float]:
        """(validation, profiling) of a candidate."""
        total = min(outcome.judge_seconds, JUDGE_LIMIT) * self.judge_scale
        return total * self.validation_share, total * (1 - self.validation_share)


class Played(msgspec.Struct, kw_only=True):
    """One iteration."""

    trace: str
    seconds: float = 0.0
    main_tokens: int = 0
    saved_tokens: int = 0
    """Of the main generation, by a stop."""
    fork_tokens: int = 0
    wasted_fork_tokens: int = 0
    """Of forks that a stop or the end of the iteration aborted."""
    forks: int = 0
    drafts: int = 0
    cached_share: float | None = None
    """Of the forks' prompt tokens."""
    profiled: int = 0
    stopped: bool = False
    """Whether a measured candidate ended it before the main generation did."""
    first_candidate: float | None = None
    """Seconds from the iteration's begin, as `first_valid`."""
    first_valid: float | None = None
    fork_first_token: list[float] = []
    """Seconds from each fork's request."""


def judgement(outcome: Outcome) -> Judgement:
    """What the judge would have said."""
    if not outcome.passed:
        return Judgement(outcome=Verdict.WRONG_VALUES, feedback=Feedback(summary=""))
    s = outcome.speedup
    return Judgement(outcome=Verdict.PASSED, feedback=Feedback(summary=""), measurement=Measurement(
        speedup=s, low=s * (1 - _SPREAD), high=s * (1 + _SPREAD), confidence=0.95, candidate_ms=1.0, reference_ms=s,
        pairs=40,
    ))
