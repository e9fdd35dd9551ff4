"""Which request goes next: main answers, shares, chances, age."""
from __future__ import annotations

from collections import Counter

import pytest

from scheduler.chance import chance
from scheduler.effects import GiveUp, Issue
from scheduler.perform import job_of
from scheduler.runs import Run
from tests.facts import judgement, result
from tests.scheduler.desk import Desk, P, V


def test_validation_takes_the_newest_of_a_burst_and_main_answers_first() -> None:
    desk = Desk()
    desk.tell(desk.fixed(V), *desk.forks("busy"))
    desk.tell(*desk.forks(*(f"f{i}" for i in range(50))))
    desk.tell(desk.proposed("main"), *desk.forks("last"))
    order = [name for _, name in desk.serve(V)]
    assert order == ["busy", "main", "last", *(f"f{i}" for i in reversed(range(50)))]


def test_profiling_goes_by_arrival_with_main_answers_first() -> None:
    desk = Desk()
    desk.tell(desk.fixed(P), *desk.forks("f1", "f2", "f3", "f4"), desk.proposed("main"))
    desk.tell(desk.passes("f4"))
    desk.tell(*(desk.passes(name) for name in ("f2", "f3", "main", "f1")))
    assert [name for _, name in desk.serve(P)] == ["f4", "main", "f2", "f3", "f1"]


def test_a_resubmission_goes_before_speculation() -> None:
    desk = Desk()
    desk.tell(desk.fixed(V), *desk.forks("f1"))
    desk.tell(*desk.forks("f2", "f3"))
    _, issue = desk.tell(desk.failed("f1"))
    assert isinstance(issue, Issue) and issue.request.identity.candidate == "f1" and issue.priority == 0


@pytest.mark.parametrize(("weights", "share"), [((1.0, 1.0), 0.5), ((3.0, 1.0), 0.75), ((1.0, 9.0), 0.1)])
def test_device_time_follows_the_weights(weights: tuple[float, float], share: float) -> None:
    """Two runs that always have work; all of `a` came before any of `b`."""
    desk = Desk()
    desk.tell(*(desk.started(run, weight=weight) for run, weight in zip("ab", weights, strict=True)))
    for run in "ab":
        desk.tell(*desk.forks(*(f"f{i}" for i in range(200)), run=run))
    desk.tell(desk.fixed(V))
    served = Counter(run for run, _ in desk.serve(V, most=100))
    assert served["a"] / 100 == pytest.approx(share, abs=0.05)


def test_shares_are_of_device_time_not_of_jobs() -> None:
    """Jobs of `a` take three times as long."""
    desk = Desk()
    for run in "ab":
        desk.tell(desk.started(run), *desk.forks(*(f"f{i}" for i in range(200)), run=run))
    desk.tell(desk.fixed(V))
    served: Counter[str] = Counter()
    for _ in range(120):
        run = desk.out[0].request.identity.run
        served[desk.serve(V, most=1, seconds=3.0 if run == "a" else 1.0)[0][0]] += 1
    assert served["b"] / served["a"] == pytest.approx(3.0, abs=0.6)


def test_runs_of_one_campaign_share_its_part() -> None:
    desk = Desk()
    for run, campaign in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        desk.tell(desk.started(run, campaign=campaign), *desk.forks(*(f"f{i}" for i in range(60)), run=run))
    desk.tell(desk.fixed(V))
    served = Counter(run for run, _ in desk.serve(V, most=80))
    assert served["b1"] == pytest.approx(40, abs=5)
    assert all(count > 5 for count in served.values())


def test_what_was_not_used_is_not_owed() -> None:
    """`a` was served alone for a while; with `b` there it gets its half from the first moment on."""
    desk = Desk()
    desk.tell(desk.started("a"), desk.started("b"), desk.fixed(V))
    desk.tell(*desk.forks(*(f"f{i}" for i in range(200)), run="a"))
    assert {run for run, _ in desk.serve(V, most=100)} == {"a"}
    desk.tell(*desk.forks(*(f"f{i}" for i in range(100)), run="b"))
    assert Counter(run for run, _ in desk.serve(V, most=40))["a"] == pytest.approx(20, abs=5)


def test_a_campaign_of_higher_priority_goes_first() -> None:
    desk = Desk()
    desk.tell(desk.started("low", priority=-1), desk.started("usual"), desk.started("high", priority=5))
    for run in ("low", "usual", "high"):
        desk.tell(*desk.forks("f1", "f2", run=run))
    desk.tell(desk.fixed(V))
    assert [(i.request.identity.run, i.priority) for i in desk.out] == [("high", 1)]
    assert [run for run, _ in desk.serve(V)] == ["high", "high", "usual", "usual", "low", "low"]


def test_nobody_waits_for_ever() -> None:
    """A run of low priority beside one that always has newer work."""
    desk = Desk(patience_seconds=20.0, patience_every=4)
    desk.tell(desk.started("low", priority=-1), *desk.forks("old", run="low"), desk.started("high"))
    desk.tell(*desk.forks(*(f"f{i}" for i in range(100)), run="high"), desk.fixed(V))
    order = desk.serve(V)
    assert 20 <= order.index(("low", "old")) <= 26
    assert order[0] == ("high", "f99") and ("high", "f0") in order[:40]
    assert len([name for name in order[:40] if name in {("high", f"f{i}") for i in range(60, 100)}]) >= 30


def test_of_a_campaign_the_run_with_most_iterations_left_goes_first() -> None:
    """`ahead` has ended two iterations; profiles go by their chances first."""
    desk = Desk()
    for run in ("ahead", "behind"):
        desk.tell(desk.started(run, campaign="one"))
    desk.tell(desk.ended(1, run="ahead"), desk.ended(2, run="ahead"))
    desk.tell(*desk.forks("f1", "f2", run="ahead", iteration=3), *desk.forks("f1", "f2", run="behind"), desk.fixed(V))
    assert [run for run, _ in desk.serve(V)] == ["behind", "behind", "ahead", "ahead"]


def test_profiles_that_may_end_an_iteration_go_first() -> None:
    """`sure` stops at the first valid kernel, `never` cannot be stopped, `hard` has a bar it seldom clears."""
    desk = Desk()
    for run, stop in (("never", "never"), ("hard", "mean"), ("sure", "first")):
        desk.tell(desk.started(run, stop=stop))
    for number, speedup in enumerate((1.0, 1.1, 1.2, 9.0), 1):
        desk.tell(*desk.forks(f"h{number}", run="hard"), desk.settled(f"h{number}", speedup, run="hard"))
    desk.tell(desk.iteration(2, H=(1.0, 1.1, 1.2, 9.0), run="hard"))
    for run in ("never", "hard", "sure"):
        desk.tell(*desk.forks("f", run=run, iteration=2 if run == "hard" else 1))
        desk.core.observe(result(V, "f", judgement(), run=run, iteration=2 if run == "hard" else 1), 0.0)
    order = [i.request.identity.run for i in desk.tell(desk.fixed(P, 3)) if isinstance(i, Issue)]
    assert order == ["sure", "hard", "never"]


def test_the_chance_to_end_an_iteration() -> None:
    desk = Desk()
    run = Run("r")
    fork = desk.forks("f1")[0]
    for fact in (desk.started("r"), desk.iteration(1), fork):
        run.fold(fact)
    assert chance(run, fork) == 0.5, "nothing is known"
    run.fold(desk.settled("f1", 2.0))
    fork, second = desk.forks("f2", "f3", iteration=2)
    for later in (desk.iteration(2, H=(2.0,)), fork, second):
        run.fold(later)
    assert chance(run, fork) == pytest.approx(1 / 3), "one of one did not beat the bar of 2.0, plus one and one"
    run.fold(desk.answered(2))
    assert chance(run, fork) == 0.5, "the iteration waits for two"
    run.fold(desk.settled("f3", iteration=2))
    assert chance(run, fork) == 1.0, "and now for this one alone"
    run.stop = "never"
    assert chance(run, fork) == 1.0
    run.answered = False
    assert chance(run, fork) == 0.0


def test_a_full_queue_drops_the_oldest_speculation_of_whoever_has_most() -> None:
    desk = Desk(waiting_limit=5)
    desk.tell(*desk.forks("a1", "a2", "a3", "a4", run="a"), desk.proposed("m", run="a"))
    effects = desk.tell(*desk.forks("b1", "b2", run="b"), desk.proposed("m", run="b"))
    dropped = [(e.request.identity.run, e.request.identity.candidate) for e in effects if isinstance(e, GiveUp)]
    assert dropped == [("a", "a1"), ("a", "a2"), ("a", "a3")]
    assert all("SPECGEN_SCHEDULER_WAITING_LIMIT" in e.summary for e in effects if isinstance(e, GiveUp))
    desk.tell(*(desk.proposed(f"m{i}", run="c") for i in range(9)))
    assert len(desk.core.book.requests) == 11, "main answers are never dropped, whatever the limit"
    assert desk.told[-1].room == 0


def test_a_bus_that_takes_no_more_keeps_main_answers_coming() -> None:
    desk = Desk()
    effects = desk.tell(desk.fixed(V, 2), *desk.forks("f1", "f2"))
    for effect in effects:
        desk.core.refused(effect, "the stream is full", desk.now, for_good=False)
    assert desk.act() == [], "speculation is held back"
    assert desk.issued(desk.proposed("main")) == ["main"]
    assert desk.told[-1].full
    desk.now = 1.5
    desk.tell(desk.fixed(V, 2))
    assert desk.core.book.waiting[V].count == 1 and not desk.told[-1].full


def test_a_job_the_bus_will_never_take_is_given_up() -> None:
    desk = Desk()
    issue = desk.tell(desk.fixed(V), desk.proposed("huge"))[0]
    desk.core.refused(issue, "job is 5 MiB", desk.now, for_good=True)
    effects = desk.act()
    assert any(isinstance(e, GiveUp) and "cannot be sent: job is 5 MiB" in e.summary for e in effects)


def test_what_is_not_a_job_is_tried_again_until_the_bus_takes_it() -> None:
    desk = Desk()
    desk.tell(desk.fixed(V), desk.proposed("c1"))
    withdraw = desk.tell(desk.ended())[0]
    desk.core.refused(withdraw, "full", desk.now, for_good=False)
    assert desk.act() == [withdraw]


@pytest.mark.parametrize(
    ("stop", "H", "expected"),
    [("mean", (), 1.0), ("mean", (2.0, 4.0), 3.0), ("confident", (2.0, 4.0), 3.0), ("best", (2.0, 4.0), 4.0),
     ("never", (2.0, 4.0), 4.0), ("never", (), 1.0), ("first", (2.0,), 0.0)],
)
def test_a_job_says_what_its_measurement_has_to_exceed(stop: str, H: tuple[float, ...], expected: float) -> None:
    desk = Desk()
    desk.tell(desk.fixed(P), desk.started("r", stop=stop), desk.iteration(1, H=H), *desk.forks("f1"))
    (issue,) = (effect for effect in desk.tell(desk.passes("f1")) if isinstance(effect, Issue))
    assert issue.bar == expected
    assert job_of(issue, 0.0).bar == expected
