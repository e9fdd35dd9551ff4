"""The scheduler's machine, message by message."""
from __future__ import annotations

import msgspec
import pytest

from common.messages import (
    AttemptFailed,
    AttemptRevoked,
    AttemptStarted,
    CandidateProposed,
    CandidateSettled,
    IterationEnded,
    Message,
    Outcome,
    Stage,
    WorkerBeat,
    WorkerLeft,
)
from scheduler.core import Scheduler
from scheduler.effects import Assign, Effect, GiveUp, Issue, Revoke, Withdraw
from scheduler.requests import Identity
from scheduler.settings import SchedulerSettings
from tests.facts import TASK, judgement, result

V, P = Stage.VALIDATE, Stage.PROFILE
SETTINGS = SchedulerSettings(attempts=2, attempt_seconds=100.0, worker_timeout=5.0, lost_after=2.0)


def proposed(name: str, *, iteration: int = 1, origin: str = "main", run: str = "r") -> CandidateProposed:
    return CandidateProposed(
        run=run, n=1, at=0.0, iteration=iteration, candidate=name, generation="main", origin=origin,  # type: ignore[arg-type]
        source="s", digest=name, task=TASK, device="cpu",
    )


def beat(worker: str, stage: Stage, at: float, *, jobs: tuple[str, ...] = (), device: str = "cpu-0") -> WorkerBeat:
    return WorkerBeat(worker=worker, at=at, stage=stage, devices={device: (V, P)}, slots=1, jobs=jobs)


def failed(name: str, attempt: int, stage: Stage = V) -> AttemptFailed:
    return AttemptFailed(
        worker="w", at=0.0, stage=stage, run="r", iteration=1, candidate=name, attempt=attempt, reason="oom killer"
    )


class Desk:
    """A scheduler with a clock."""

    def __init__(self) -> None:
        self.core = Scheduler(SETTINGS)
        self.now = 0.0

    def tell(self, *messages: Message) -> list[Effect]:
        for message in messages:
            self.core.observe(message, self.now)
        return [effect for effect in self.core.act(self.now) if not isinstance(effect, Assign)]

    def issued(self, *messages: Message) -> list[str]:
        return [e.request.identity.candidate for e in self.tell(*messages) if isinstance(e, Issue)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_as_many_jobs_as_free_workers_plus_one_a_stage(desk: Desk) -> None:
    assert desk.issued(*(proposed(f"c{i}") for i in range(5))) == ["c0"]
    assert desk.issued(beat("w1", V, 0.0), beat("w2", V, 0.0)) == ["c1", "c2"]
    assert desk.issued() == []
    assert desk.issued(result(V, "c0", judgement(Outcome.TIMEOUT))) == ["c3"]


def test_main_answers_go_first_then_arrival(desk: Desk) -> None:
    workers = [beat(f"w{i}", V, 0.0) for i in range(4)]
    origins = {"f1": "fork", "f2": "draft", "m1": "main", "f3": "fork"}
    order = desk.issued(*(proposed(name, origin=origin) for name, origin in origins.items()), *workers)
    assert order == ["m1", "f1", "f2", "f3"]


def test_a_passed_verdict_is_the_request_to_profile_and_no_other_is(desk: Desk) -> None:
    desk.tell(proposed("c1"), proposed("c2"))
    effects = desk.tell(result(V, "c1", judgement()), result(V, "c2", judgement(Outcome.COMPILE_ERROR)))
    assert [e.request.identity for e in effects if isinstance(e, Issue)] == [Identity(P, "r", 1, "c1")]
    assert desk.issued(result(V, "c1", judgement())) == []


def test_the_end_of_an_iteration_withdraws_its_work_and_closes_it(desk: Desk) -> None:
    desk.tell(proposed("c1"), proposed("c2"), proposed("d1", run="other"), beat("w1", V, 0.0))
    ended = IterationEnded(run="r", n=9, at=0.0, iteration=1, reason="stopped", H=())
    assert desk.tell(ended)[0] == Withdraw("r", 1, "stopped")
    assert desk.issued(proposed("c3"), result(V, "c1", judgement())) == []
    assert desk.issued(proposed("c4", iteration=2)) == ["c4"]
    assert [i.run for i in desk.core.requests] == ["other", "r"]


def test_a_settled_candidate_asks_for_nothing_more(desk: Desk) -> None:
    desk.tell(proposed("c1"))
    settled = CandidateSettled(run="r", n=3, at=0.0, iteration=1, candidate="c1", outcome=None, fate="cancelled")
    desk.tell(settled)
    assert desk.core.requests == {}


def test_a_failed_attempt_is_revoked_and_issued_again_until_the_last(desk: Desk) -> None:
    desk.tell(proposed("c1"))
    revoke, issue = desk.tell(failed("c1", 1))
    assert isinstance(revoke, Revoke) and (revoke.attempt, revoke.reason) == (1, "oom killer")
    assert isinstance(issue, Issue) and issue.request.attempt == 2 and issue.priority == 0
    assert desk.tell(failed("c1", 1)) == [], "a failure of an attempt already passed says nothing new"
    revoke, give_up = desk.tell(failed("c1", 2))
    assert isinstance(give_up, GiveUp) and give_up.request.failures == ["oom killer", "oom killer"]
    assert desk.core.requests == {}


def test_an_attempt_past_its_deadline_is_revoked(desk: Desk) -> None:
    desk.tell(proposed("c1"))
    desk.now = 100.0
    assert desk.tell() == []
    desk.now = 100.5
    effects = desk.tell()
    assert isinstance(effects[0], Revoke) and "no result within 100 s" in effects[0].reason
    assert isinstance(effects[1], Issue) and effects[1].deadline == 200.5


def test_workers_that_fall_silent_or_leave_free_no_more_slots(desk: Desk) -> None:
    desk.tell(beat("w1", V, 0.0), beat("w2", V, 0.0))
    assert desk.issued(*(proposed(f"c{i}") for i in range(9))) == ["c0", "c1", "c2"]
    desk.now = 6.0
    desk.tell(WorkerLeft(worker="w2", at=6.0, stage=V, reason="drained"), beat("w3", V, 6.0))
    assert set(desk.core.workers) == {"w3"}


def test_a_job_that_vanished_is_issued_again_but_not_one_that_runs(desk: Desk) -> None:
    desk.tell(proposed("c1"), proposed("c2"), beat("w1", V, 0.0), beat("w2", V, 0.0))
    running = Identity(V, "r", 1, "c2")
    desk.now = 3.0
    desk.tell(beat("w1", V, 3.0, jobs=(str(running),)))
    desk.core.lost([], desk.now)
    effects = desk.tell()
    assert [e.identity.candidate for e in effects if isinstance(e, Revoke)] == ["c1"]


def test_a_new_scheduler_takes_over_what_is_queued_running_and_revoked() -> None:
    history: list[Message] = [
        proposed("c1"), proposed("c2"), proposed("c3"), result(V, "c3", judgement()),
        AttemptStarted(worker="w", at=1.0, stage=V, run="r", iteration=1, candidate="c1", attempt=2, delivery=1),
        AttemptRevoked(worker="s", at=1.0, stage=P, run="r", iteration=1, candidate="c3", attempt=1, reason="lost"),
    ]
    desk = Desk()
    for message in history:
        desk.core.observe(message, 2.0)
    desk.core.adopt({Identity(V, "r", 1, "c2"): 0}, 2.0)
    effects = desk.tell()
    issued = [(str(e.request.identity), e.request.attempt) for e in effects if isinstance(e, Issue)]
    assert issued == [("profile.r.1.c3", 2)]
    assert desk.core.requests[Identity(V, "r", 1, "c1")].attempt == 2
    assert desk.core.requests[Identity(V, "r", 1, "c2")].issued_at == 2.0


def test_roles_are_announced_when_they_change(desk: Desk) -> None:
    desk.core.observe(beat("w1", V, 0.0, device="gpu-a"), 0.0)
    desk.core.observe(beat("w2", P, 0.0, device="gpu-b"), 0.0)
    assigned = [e for e in desk.core.act(0.0) if isinstance(e, Assign)]
    assert assigned[0].roles == {"gpu-a": (V,), "gpu-b": (P,)} and assigned[0].changed == ("gpu-a", "gpu-b")
    assert [e for e in desk.core.act(0.1) if isinstance(e, Assign)] == []


def test_memory_does_not_grow_with_iterations_that_are_over(desk: Desk) -> None:
    for number in range(1, 50):
        desk.tell(proposed(f"c{number}", iteration=number))
        verdict = msgspec.structs.replace(result(V, f"c{number}", judgement(Outcome.TIMEOUT)), iteration=number)
        ended = IterationEnded(run="r", n=number, at=0.0, iteration=number, reason="answered", H=())
        desk.tell(verdict, ended)
    assert (len(desk.core.requests), len(desk.core._done), len(desk.core._proposed)) == (0, 0, 0)
