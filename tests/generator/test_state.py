"""The state is the fold of the facts: repeats change nothing, gaps are an error."""
from __future__ import annotations

import msgspec
import pytest

from common.messages import (
    CandidateDuplicated,
    CandidateProposed,
    CandidateSettled,
    Fact,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    Outcome,
    RequestIgnored,
)
from generator.budget import exhausted, seconds_left
from generator.ending import ending, next_look
from generator.propose import propose
from generator.state import RunState
from tests.facts import Log


def refold(log: Log, *, twice: bool = False) -> RunState:
    state = RunState("r")
    for fact in log.facts:
        for _ in range(2 if twice else 1):
            state.apply(fact)
    return state


def busy_log() -> Log:
    log = Log()
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.record(GenerationStarted, iteration=1, generation="f1", kind="fork", parent="main", at_token=10, request=4)
    log.proposed("c1", origin="fork")
    log.record(RequestIgnored, iteration=1, kind="fork", reason="limit", request=7)
    log.record(GenerationEnded, iteration=1, generation="f1", reason="finished", reasoning_tokens=0, answer_tokens=30)
    return log


def test_folding_a_log_twice_over_gives_the_same_state() -> None:
    log = busy_log()
    assert refold(log) == refold(log, twice=True) == log.state
    assert log.state.last_request == 7
    assert log.state.tokens() == 30


def test_a_gap_is_an_error_and_another_writer_of_the_same_number_comes_too_late() -> None:
    log = busy_log()
    state = refold(log)
    later = msgspec.structs.replace(log.facts[-1], n=state.n + 2)
    with pytest.raises(ValueError, match="facts are missing"):
        state.apply(later)
    rival = msgspec.structs.replace(log.facts[-1], answer_tokens=999)
    assert state.apply(rival) is False
    assert state == log.state


@pytest.mark.parametrize(
    ("budget", "now", "tokens", "expected"),
    [
        ({}, 100.0, 0, None),
        ({"tokens": 50}, 100.0, 49, None),
        ({"tokens": 50}, 100.0, 50, "tokens"),
        ({"seconds": 5.0}, 104.9, 0, None),
        ({"seconds": 5.0}, 105.0, 0, "seconds"),
        ({"iterations": 1}, 100.0, 0, None),
    ],
)
def test_budgets(budget: dict[str, float], now: float, tokens: int, expected: str | None) -> None:
    log = Log(**budget)  # type: ignore[arg-type]
    log.iteration()
    assert exhausted(log.state, now=now, tokens=tokens) == expected
    end = ending(log.state, now=now, tokens=tokens)
    assert (end.reason, end.cause) == ("budget", expected) if expected else end is None
    assert seconds_left(log.state, now) == (None if "seconds" not in budget else max(0.0, 105.0 - now))


def test_iterations_are_exhausted_once_the_last_is_closed() -> None:
    log = Log(iterations=1)
    log.iteration()
    assert exhausted(log.state, now=100.0, tokens=0) is None
    log.record(IterationEnded, iteration=1, reason="answered", H=())
    assert exhausted(log.state, now=100.0, tokens=0) == "iterations"


@pytest.mark.parametrize(
    ("outcome", "fate", "becomes"),
    [
        (None, "cancelled", CandidateProposed), (Outcome.INFRASTRUCTURE_ERROR, "counted", CandidateProposed),
        (Outcome.WRONG_VALUES, "cancelled", CandidateDuplicated), (Outcome.PASSED, "counted", CandidateDuplicated),
    ],
)
def test_a_source_that_could_not_be_judged_is_no_duplicate(
    outcome: Outcome | None, fate: str, becomes: type[Fact]
) -> None:
    log = Log()
    log.iteration()
    source = "class ModelNew: pass"
    first = log.draft(propose(log.state, source, generation="f1", origin="fork"))
    assert propose(log.state, source, generation="main", origin="main").kind is CandidateDuplicated, "not judged yet"
    log.record(CandidateSettled, iteration=1, candidate=first.candidate, outcome=outcome, fate=fate)
    again = propose(log.state, source, generation="main", origin="main")
    assert again.kind is becomes
    assert again.fields.get("candidate") == ("c2" if becomes is CandidateProposed else None)


def test_an_iteration_ends_when_everything_proposed_is_settled_or_the_wait_runs_out() -> None:
    log = Log(drain_seconds=10.0)
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.proposed("c1")
    assert ending(log.state, now=100.0, tokens=0) is None
    log.now = 120.0
    log.record(GenerationEnded, iteration=1, generation="main", reason="finished")
    assert ending(log.state, now=129.9, tokens=0) is None
    assert next_look(log.state, 129.0) == pytest.approx(1.0)
    drained = ending(log.state, now=130.0, tokens=0)
    assert drained is not None and drained.reason == "drained"
    log.record(CandidateSettled, iteration=1, candidate="c1", outcome="passed", fate="counted", speedup=1.0)
    answered = ending(log.state, now=121.0, tokens=0)
    assert answered is not None and answered.reason == "answered"
