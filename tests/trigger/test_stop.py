"""Stop policies, and the fold that applies them."""
from __future__ import annotations

import pytest

from common.messages import Fact, Measurement, Outcome, Stage
from tests.trigger.facts import Log
from trigger import run, stop


def measured(speedup: float, low: float) -> Measurement:
    return Measurement(
        speedup=speedup, low=low, high=speedup, confidence=0.95, candidate_ms=1.0, reference_ms=speedup, pairs=20
    )


@pytest.mark.parametrize(("policy", "speedup", "low", "H", "stops"), [
    ("mean", 1.01, 0.9, (), True),
    ("mean", 1.0, 0.9, (), False),
    ("mean", 0.9, 0.9, (0.5, 0.6), False),
    ("mean", 0.9, 0.9, (0.5, 0.6, 0.7), True),
    ("mean", 1.6, 0.9, (1.0, 2.0), True),
    ("mean", 1.5, 0.9, (1.0, 2.0), False),
    ("best", 0.9, 0.9, (0.5, 0.6), False),
    ("best", 0.9, 0.9, (0.5, 0.6, 0.7), True),
    ("best", 1.9, 1.9, (1.0, 2.0), False),
    ("best", 2.1, 1.9, (1.0, 2.0), True),
    ("first", 0.2, 0.1, (3.0,), True),
    ("never", 99.0, 99.0, (), False),
    ("confident", 1.8, 1.6, (1.0, 2.0), True),
    ("confident", 1.8, 1.4, (1.0, 2.0), False),
    ("confident", 1.2, 0.99, (), False),
])
def test_policy(policy: str, speedup: float, low: float, H: tuple[float, ...], stops: bool) -> None:
    assert (stop.decide(policy, "c1", measured(speedup, low), H) is not None) is stops


def test_numbers_say_why() -> None:
    decision = stop.decide("mean", "c1", measured(1.6, 1.5), (1.0, 2.0))
    assert decision is not None
    assert (decision.reason, decision.numbers) == ("mean", {"speedup": 1.6, "bar": 1.5, "valid_before": 2.0})


def fold(*facts: Fact) -> tuple[run.RunState, list[str]]:
    """The state after `facts`, and the stops it came to want on the way."""
    state, stops = run.RunState(), []
    for fact in facts:
        before, state = state, run.step(state, fact)
        if state.wanted and state.wanted != before.wanted:
            stops.append(state.wanted.candidate)
    return state, stops


def test_one_stop_an_iteration() -> None:
    log = Log()
    _, stops = fold(
        log.started(), log.iteration(1),
        log.result(1, "c1", Stage.PROFILE, speedup=2.0), log.result(1, "c2", Stage.PROFILE, speedup=3.0),
        log.iteration_ended(1), log.iteration(2, 2.0),
        log.result(2, "c3", Stage.PROFILE, speedup=1.9), log.result(2, "c4", Stage.PROFILE, speedup=2.1),
    )
    assert stops == ["c1", "c4"]


def test_only_a_passed_profile_of_the_open_iteration_stops() -> None:
    log = Log()
    _, stops = fold(
        log.started(), log.iteration(1), log.iteration_ended(1), log.iteration(2),
        log.result(1, "late", Stage.PROFILE, speedup=9.0),
        log.result(2, "verdict", Stage.VALIDATE),
        log.result(2, "failed", Stage.PROFILE, outcome=Outcome.TIMEOUT),
    )
    assert stops == []


@pytest.mark.parametrize(("allow", "expected"), [(False, []), (True, ["c1"])])
def test_library_calls_stop_only_where_allowed(allow: bool, expected: list[str]) -> None:
    log = Log()
    _, stops = fold(
        log.started(allow_library=allow), log.iteration(1),
        log.result(1, "c1", Stage.VALIDATE, labels=("library_only",)), log.result(1, "c1", Stage.PROFILE, speedup=9.0),
    )
    assert stops == expected


def test_a_repeated_fact_is_skipped() -> None:
    log = Log()
    facts = [log.started(), log.iteration(1), log.result(1, "c1", Stage.PROFILE, speedup=2.0)]
    facts += [log.iteration_ended(1), log.iteration(2)]
    _, stops = fold(*facts, *facts)
    assert stops == ["c1"]


def test_no_forks_without_speculation_or_after_a_stop() -> None:
    log = Log()
    state, _ = fold(log.started(speculate=False), log.iteration(1))
    assert not state.forks_from(1)
    log = Log()
    state, _ = fold(log.started(), log.iteration(1))
    assert state.forks_from(1) and not state.forks_from(2)
    state = run.step(state, log.result(1, "c1", Stage.PROFILE, speedup=2.0))
    assert not state.forks_from(1)
