"""The scheduler's machine, message by message."""
from __future__ import annotations

import msgspec
import pytest

from common.messages import (
    AttemptRevoked,
    Message,
    Outcome,
    ResultAccepted,
    WorkerLeft,
)
from scheduler.effects import GiveUp, Issue, Revoke, Withdraw
from scheduler.requests import Identity
from tests.facts import judgement, result
from tests.scheduler.desk import Desk, P, V


@pytest.fixture
def desk() -> Desk:
    """With one device for each stage, which can serve no other."""
    desk = Desk()
    desk.tell(desk.fixed(V), desk.fixed(P))
    return desk


def accepted(desk: Desk, name: str, attempt: int = 1) -> ResultAccepted:
    return ResultAccepted(
        run="r", n=desk.n("r"), at=0.0, iteration=1, candidate=name, stage=V, attempt=attempt, sequence=1, worker="w",
        device="v0", queue_seconds=0.0, judgement=judgement(),
    )


def test_as_many_jobs_as_devices_and_workers_take() -> None:
    desk = Desk()
    assert desk.issued(*(desk.proposed(f"c{i}") for i in range(5))) == [], "nobody could work on it"
    assert desk.issued(desk.worker(V, "d1", "d2", slots=2, able=(V,))) == ["c0", "c1"]
    assert desk.issued() == []
    assert desk.issued(desk.fails("c0")) == ["c2"]


def test_short_jobs_are_queued_ahead_of_the_workers() -> None:
    desk = Desk(ahead_seconds=0.1)
    desk.tell(desk.fixed(V, 4))
    for i in range(30):
        taken = desk.takes("v0", V, f"x{i}")
        desk.tell(taken, desk.frees(taken, seconds=0.02), result(V, f"x{i}", judgement(seconds={"compile": 0.0})))
    assert 12 < len(desk.issued(*desk.forks(*(f"c{i}" for i in range(40))))) < 30


def test_more_jobs_go_out_where_they_compile_before_they_need_the_device() -> None:
    desk = Desk()
    desk.tell(desk.worker(V, "v0", able=(V,), slots=9))
    for i in range(60):
        taken = desk.takes("v0", V, f"x{i}")
        desk.tell(desk.proposed(f"x{i}"), taken, desk.frees(taken, seconds=2.0))
        desk.tell(result(V, f"x{i}", judgement(Outcome.TIMEOUT, seconds={"compile": 4.0})))
    assert len(desk.issued(*desk.forks(*(f"c{i}" for i in range(9))))) == 3


def test_what_triton_compiles_ahead_counts_as_compiling() -> None:
    desk = Desk()
    desk.tell(desk.worker(V, "v0", able=(V,), slots=9))
    for i in range(60):
        desk.tell(result(V, f"x{i}", judgement(Outcome.TIMEOUT, seconds={"compile": 0.5, "foresee": 1.5})))
    assert len(desk.issued(*desk.forks(*(f"c{i}" for i in range(9))))) == 3


def test_while_nothing_is_known_workers_compile_rather_than_stand_idle() -> None:
    desk = Desk()
    desk.tell(desk.worker(V, "v0", able=(V,), slots=4), desk.fixed(P))
    assert len(desk.issued(*desk.forks(*(f"c{i}" for i in range(9))))) == 4
    assert desk.issued(*(desk.passes(f"c{i}") for i in (8, 7))).count("c8") == 1, "what is profiled is compiled"


def test_a_passed_verdict_is_the_request_to_profile_and_no_other_is(desk: Desk) -> None:
    desk.tell(desk.proposed("c1"), desk.proposed("c2"))
    effects = desk.tell(desk.passes("c1"), desk.fails("c2", Outcome.COMPILE_ERROR))
    assert [e.request.identity for e in effects if isinstance(e, Issue)] == [Identity(P, "r", 1, "c1")]
    assert desk.issued(desk.passes("c1")) == []


def test_the_end_of_an_iteration_withdraws_its_work_and_closes_it(desk: Desk) -> None:
    desk.tell(desk.proposed("c1"), desk.proposed("c2"), desk.proposed("d1", run="other"))
    assert desk.tell(desk.ended())[0] == Withdraw("r", 1, "stopped")
    assert desk.issued(desk.passes("c1")) == []
    desk.tell(desk.proposed("c4", iteration=2))
    assert sorted(i.candidate for i in desk.core.book.requests) == ["c4", "d1"]


def test_an_iteration_that_has_nothing_out_needs_no_withdrawal(desk: Desk) -> None:
    desk.tell(desk.proposed("c1"), desk.fails("c1"))
    assert desk.tell(desk.ended()) == []


def test_facts_that_come_again_say_nothing_new(desk: Desk) -> None:
    facts = [desk.proposed("c1"), desk.ended(), desk.proposed("c2", iteration=2)]
    desk.tell(*facts)
    before = dict(desk.core.book.requests)
    assert desk.tell(*facts, facts[0], facts[2]) == []
    assert desk.core.book.requests == before
    over = desk.run_ended()
    desk.tell(over)
    desk.tell(*facts, over)
    assert (desk.core.book.requests, desk.core.runs) == ({}, {})


def test_a_settled_candidate_asks_for_nothing_more(desk: Desk) -> None:
    desk.tell(desk.proposed("c1"), desk.settled("c1"))
    assert desk.core.book.requests == {}


def test_a_failed_attempt_is_revoked_and_issued_again_until_the_last(desk: Desk) -> None:
    desk.tell(desk.proposed("c1"))
    revoke, issue = desk.tell(desk.failed("c1", 1))
    assert isinstance(revoke, Revoke) and (revoke.attempt, revoke.reason) == (1, "oom killer")
    assert isinstance(issue, Issue) and (issue.attempt, issue.priority) == (2, 0)
    assert desk.tell(desk.failed("c1", 1)) == [], "a failure of an attempt already passed says nothing new"
    revoke, give_up = desk.tell(desk.failed("c1", 2))
    assert isinstance(revoke, Revoke) and revoke.attempt == 2
    assert isinstance(give_up, GiveUp) and "2 attempts" in give_up.summary and "oom killer; oom" in give_up.summary
    assert desk.core.book.requests == {}


def test_a_result_of_a_revoked_attempt_says_nothing_unless_the_generator_accepted_it(desk: Desk) -> None:
    desk.tell(desk.proposed("c1"), desk.failed("c1", 1))
    assert desk.tell(desk.passes("c1", attempt=1)) == []
    effects = desk.tell(accepted(desk, "c1", attempt=1))
    assert [(type(e), getattr(e, "attempt", 0)) for e in effects] == [(Revoke, 2), (Issue, 1)]
    assert [i.stage for i in desk.core.book.requests] == [P]


def test_an_attempt_past_its_deadline_is_revoked(desk: Desk) -> None:
    desk.tell(desk.proposed("c1"))
    desk.now = 100.0
    desk.tell(desk.fixed(V), desk.fixed(P))
    assert desk.act() == []
    desk.now = 100.5
    effects = desk.act()
    assert isinstance(effects[0], Revoke) and "no result within 100 s" in effects[0].reason
    assert isinstance(effects[1], Issue) and effects[1].seconds == 100.0


def test_waiting_here_is_no_attempt(desk: Desk) -> None:
    """A request that no worker could take does not run out of attempts."""
    lonely = Desk()
    lonely.tell(lonely.proposed("c1"))
    for lonely.now in (50.0, 500.0, 5000.0):
        assert lonely.act() == []
    assert lonely.issued(lonely.fixed(V)) == ["c1"]


def test_the_wall_clock_decides_nothing(desk: Desk) -> None:
    """Stamps of hosts whose clocks are a year apart, in both directions."""
    year = 365 * 86_400.0
    desk.tell(desk.proposed("c1"))
    for at in (year, -year):
        beat = msgspec.structs.replace(desk.fixed(V), at=at)
        assert desk.tell(msgspec.structs.replace(desk.attempt("c1", 1), at=at), beat) == []
    assert desk.core.fleet.slots[V] == 1
    assert desk.core.book.requests[Identity(V, "r", 1, "c1")].attempt == 1


def test_workers_that_fall_silent_or_leave_free_no_more_slots() -> None:
    desk = Desk(worker_timeout=5.0)
    desk.tell(*(desk.worker(V, f"d{i}", name=f"w{i}", able=(V,)) for i in (1, 2)))
    assert desk.issued(*(desk.proposed(f"c{i}") for i in range(9))) == ["c0", "c1"]
    desk.now = 6.0
    desk.tell(WorkerLeft(worker="w2", at=6.0, stage=V, reason="drained"), desk.worker(V, "d3", name="w3", able=(V,)))
    assert set(desk.core.fleet.workers) == {"w3"} and set(desk.core.fleet.devices) == {"d3"}


def test_a_job_that_vanished_is_issued_again_but_not_one_that_runs() -> None:
    desk = Desk()
    desk.tell(desk.fixed(V, 2), desk.proposed("c1"), desk.proposed("c2"))
    running = Identity(V, "r", 1, "c2")
    desk.now = 3.0
    desk.tell(msgspec.structs.replace(desk.fixed(V, 2), jobs=(str(running),)))
    desk.core.lost([], desk.now)
    assert [e.identity.candidate for e in desk.act() if isinstance(e, Revoke)] == ["c1"]


def test_a_new_scheduler_takes_over_what_is_queued_running_and_revoked() -> None:
    desk = Desk()
    history: list[Message] = [
        desk.proposed("c1"), desk.proposed("c2"), desk.proposed("c3"), accepted(desk, "c3"), desk.attempt("c1", 2),
        AttemptRevoked(worker="s", at=1.0, stage=P, run="r", iteration=1, candidate="c3", attempt=1, reason="lost"),
        desk.proposed("old", run="over"), desk.ended(run="over"),
    ]
    for message in history:
        desk.core.observe(message, 2.0)
    queued = {Identity(V, "r", 1, "c1"), Identity(V, "r", 1, "c2"), Identity(V, "over", 1, "old")}
    desk.core.adopt(queued, {"v0": (V,), "p0": (P,)}, 7, 2.0)
    effects = desk.tell(desk.fixed(V), desk.fixed(P))
    assert effects == [Withdraw("over", 1, "its iteration is over")], "and nothing else before workers were heard"
    desk.now = 2.0 + desk.settings.settle_seconds
    issued = [(str(e.request.identity), e.attempt) for e in desk.act() if isinstance(e, Issue)]
    assert issued == [("profile.r.1.c3", 2)]
    assert desk.assigned == [], "the roles are what they were"
    assert desk.core.book.requests[Identity(V, "r", 1, "c1")].attempt == 2
    assert not desk.core.book.requests[Identity(V, "r", 1, "c2")].waiting


def test_a_new_scheduler_revokes_nothing_again() -> None:
    """A purge knows no attempt: done again it would take the newest attempt's job."""
    desk = Desk(attempts=4)
    for message in (desk.fixed(V), desk.fixed(P), desk.proposed("c1")):
        desk.core.observe(message, 0.0)
    for attempt in (1, 2):
        desk.core.observe(desk.failed("c1", attempt), 0.0)
        desk.core.observe(AttemptRevoked(
            worker="s", at=1.0, stage=V, run="r", iteration=1, candidate="c1", attempt=attempt, reason="oom killer"
        ), 0.0)
    desk.core.adopt({Identity(V, "r", 1, "c1")}, {"v0": (V,), "p0": (P,)}, 7, 0.0)
    assert desk.act() == []
    assert desk.core.book.requests[Identity(V, "r", 1, "c1")].attempt == 3
    [revoke, *_] = desk.tell(desk.failed("c1", 3))
    assert isinstance(revoke, Revoke) and revoke.attempt == 3, "what no scheduler has done is still done"


def test_after_a_restart_a_stale_result_stays_stale() -> None:
    """Attempts are read before results: the generator did not accept this one either."""
    desk = Desk()
    revoked = AttemptRevoked(worker="s", at=1.0, stage=V, run="r", iteration=1, candidate="c1", attempt=1, reason="x")
    for message in (desk.proposed("c1"), revoked, desk.passes("c1", attempt=1)):
        desk.core.observe(message, 0.0)
    request = desk.core.book.requests[Identity(V, "r", 1, "c1")]
    assert (request.attempt, request.waiting) == (2, True)
    desk.core.observe(desk.passes("c1", attempt=2), 0.0)
    assert [i.stage for i in desk.core.book.requests] == [P]


def test_memory_does_not_grow_with_iterations_that_are_over(desk: Desk) -> None:
    for number in range(1, 50):
        desk.tell(desk.proposed(f"c{number}", iteration=number), desk.failed(f"c{number}"))
        verdict = msgspec.structs.replace(desk.fails(f"c{number}"), iteration=number)
        desk.tell(verdict, desk.ended(number))
    run, book = desk.core.runs["r"], desk.core.book
    assert (len(book.requests), len(run.judged), len(run.proposed), len(desk.core._attempts._next)) == (0, 0, 0, 0)
    assert (book.on_device, book.waiting_total()) == ({V: 0, P: 0}, 0)
    assert desk.core.shares.accounts["r"].open == 0
