"""What a result means for its candidate: accepted or ignored, settled or waiting for the next stage. Pure."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from common.messages import CandidateSettled, Fact, Outcome, Result, ResultAccepted, ResultIgnored, Stage
from generator.state import Candidate, RunState, outcome_of

Reason = Literal["late", "stale", "repeated", "unknown"]


@dataclass(frozen=True)
class Draft:
    """A fact to record: its class and its fields but for the run's header."""

    kind: type[Fact]
    fields: dict[str, Any]


def refusal(state: RunState, result: Result, stage: Stage, revoked: frozenset[int]) -> Reason | None:
    """Why a result does not count, or None. `revoked` holds the revoked attempts of this stage and candidate."""
    candidate = state.candidates.get(result.candidate)
    if candidate is None:
        return "unknown"
    if stage in candidate.results:
        return "repeated"
    if candidate.settled is not None or state.iterations[result.iteration - 1].ended is not None:
        return "late"
    return "stale" if result.attempt in revoked else None


def judge_result(
    state: RunState, result: Result, stage: Stage, sequence: int, revoked: frozenset[int] = frozenset()
) -> Draft:
    """The fact a result becomes."""
    fields: dict[str, Any] = {
        "iteration": result.iteration, "candidate": result.candidate, "stage": stage, "attempt": result.attempt,
        "sequence": sequence,
    }
    if reason := refusal(state, result, stage, revoked):
        return Draft(ResultIgnored, fields | {"reason": reason, "outcome": result.judgement.outcome})
    fields |= {"worker": result.worker, "device": result.device, "queue_seconds": result.queue_seconds}
    return Draft(ResultAccepted, fields | {"judgement": result.judgement})


def settle(state: RunState, candidate: Candidate) -> Draft | None:
    """The final outcome as soon as it is known, or None while a stage is still to come."""
    outcome = outcome_of(candidate)
    if candidate.settled is not None or outcome is None:
        return None
    profile = candidate.results.get(Stage.PROFILE)
    measurement = profile.judgement.measurement if profile else None
    speedup = measurement.speedup if measurement and outcome is Outcome.PASSED else None
    return Draft(CandidateSettled, {
        "iteration": candidate.proposed.iteration, "candidate": candidate.proposed.candidate, "outcome": outcome,
        "fate": "counted", "speedup": speedup, "entered_H": speedup is not None and counts(state, candidate),
    })


def counts(state: RunState, candidate: Candidate) -> bool:
    """Whether a passed kernel may enter H and become the result: not if it only calls libraries, unless allowed."""
    labels = {label for result in candidate.results.values() for label in result.judgement.labels}
    return "library_only" not in labels or candidate.proposed.task.allow_library


def close_out(state: RunState, iteration: int) -> list[Draft]:
    """What is still to be said of an ended iteration: every unsettled candidate is cancelled."""
    return [
        Draft(CandidateSettled, {
            "iteration": iteration, "candidate": c.proposed.candidate, "outcome": outcome_of(c), "fate": "cancelled",
        })
        for c in state.of_iteration(iteration)
        if c.settled is None
    ]
