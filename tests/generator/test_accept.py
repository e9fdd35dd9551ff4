"""One accepted result a stage, one final outcome a candidate."""
from __future__ import annotations

import msgspec
import pytest

from common.messages import CandidateSettled, IterationEnded, Outcome, ResultAccepted, ResultIgnored, Stage
from generator.accept import close_out, judge_result, settle
from tests.facts import Log, judgement, result

V, P = Stage.VALIDATE, Stage.PROFILE


@pytest.fixture
def log() -> Log:
    log = Log()
    log.iteration()
    log.proposed("c1")
    return log


def accept(log: Log, stage: Stage, judged: object, sequence: int = 1, **fields: object) -> object:
    return log.draft(judge_result(log.state, result(stage, "c1", judged, **fields), stage, sequence))  # type: ignore[arg-type]


def test_a_passed_verdict_waits_for_its_profile_and_the_profile_settles(log: Log) -> None:
    accept(log, V, judgement())
    assert settle(log.state, log.state.candidates["c1"]) is None
    accept(log, P, judgement(speedup=1.5), sequence=2)
    settled = log.draft(settle(log.state, log.state.candidates["c1"]))  # type: ignore[arg-type]
    assert (settled.outcome, settled.fate, settled.speedup, settled.entered_H) == (Outcome.PASSED, "counted", 1.5, True)
    assert log.state.H == [1.5]
    assert settle(log.state, log.state.candidates["c1"]) is None


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.PASSED])
def test_a_verdict_that_did_not_pass_is_final(log: Log, outcome: Outcome) -> None:
    accept(log, V, judgement(outcome))
    settled = log.draft(settle(log.state, log.state.candidates["c1"]))  # type: ignore[arg-type]
    assert (settled.outcome, settled.speedup, settled.entered_H) == (outcome, None, False)
    assert log.state.H == []


def test_a_profile_that_did_not_pass_overrules_the_verdict(log: Log) -> None:
    accept(log, V, judgement())
    accept(log, P, judgement(Outcome.CHEATED), sequence=2)
    settled = log.draft(settle(log.state, log.state.candidates["c1"]))  # type: ignore[arg-type]
    assert settled.outcome is Outcome.CHEATED
    assert log.state.best() is None


@pytest.mark.parametrize("allowed", [False, True])
def test_library_calls_only_count_where_the_task_allows_it(allowed: bool) -> None:
    log = Log()
    log.iteration()
    proposed = log.proposed("c1")
    task = msgspec.structs.replace(proposed.task, allow_library=allowed)
    log.state.candidates["c1"].proposed = msgspec.structs.replace(proposed, task=task)
    accept(log, V, judgement(labels=("library_only",)))
    accept(log, P, judgement(speedup=2.0), sequence=2)
    settled = log.draft(settle(log.state, log.state.candidates["c1"]))  # type: ignore[arg-type]
    assert settled.speedup == 2.0
    assert settled.entered_H is allowed


def test_what_does_not_count_is_recorded_with_the_reason(log: Log) -> None:
    first = result(V, "c1", judgement())
    revoked = judge_result(log.state, first, V, 1, frozenset({1}))
    assert (revoked.kind, revoked.fields["reason"]) == (ResultIgnored, "stale")
    unknown = judge_result(log.state, result(V, "c9", judgement()), V, 1)
    assert unknown.fields["reason"] == "unknown"
    assert judge_result(log.state, first, V, 1, frozenset({2})).kind is ResultAccepted
    accept(log, V, judgement())
    assert judge_result(log.state, first, V, 2).fields["reason"] == "repeated"
    log.record(IterationEnded, iteration=1, reason="stopped", H=())
    assert judge_result(log.state, result(P, "c1", judgement(speedup=2.0)), P, 3).fields["reason"] == "late"


def test_the_end_of_an_iteration_cancels_what_is_open_once(log: Log) -> None:
    log.proposed("c2")
    accept(log, V, judgement(Outcome.TIMEOUT))
    log.draft(settle(log.state, log.state.candidates["c1"]))  # type: ignore[arg-type]
    log.record(IterationEnded, iteration=1, reason="stopped", H=())
    drafts = close_out(log.state, 1)
    found = [(d.kind, d.fields["candidate"], d.fields["fate"]) for d in drafts]
    assert found == [(CandidateSettled, "c2", "cancelled")]
    log.draft(drafts[0])
    assert close_out(log.state, 1) == []
