"""What the ledger makes of a run's facts."""
from __future__ import annotations

from typing import Any

import pytest

from common.messages import (
    CandidateProposed,
    CandidateSettled,
    Fact,
    GenerationEnded,
    GenerationStarted,
    Outcome,
    Stage,
    TaskSource,
    WorkerBeat,
    WorkerLeft,
)
from tests.trigger.facts import Log
from trigger.capacity import BEAT_LIMIT, Capacity
from trigger.ledger import Ledger
from trigger.situation import Situation, history


class Story:
    """Folds facts into a ledger at given times."""

    def __init__(self, iteration: int = 1, *H: float) -> None:
        self.log, self.ledger = Log(), Ledger()
        self.ledger.fold(self.log.started())
        self.ledger.fold(self.log.iteration(iteration, *H))

    def tell(self, kind: type[Fact], at: float = 0.0, /, **fields: Any) -> None:
        header = self.log.header()
        header["at"] = at
        self.ledger.fold(kind(**header, iteration=1, **fields))

    def fork(self, name: str, reason: str = "kernel", p: float = 0.5) -> None:
        self.tell(GenerationStarted, generation=name, kind="fork", reason=reason, numbers={"p": p})

    def answer(self, name: str, candidate: str | None, at: float = 0.0, tokens: int = 0, seconds: float = 0.0) -> None:
        if candidate:
            self.tell(
                CandidateProposed, at, candidate=candidate, generation=name, origin="fork", source="", digest="",
                task=TaskSource(name="t", source=""), device="cpu",
            )
        self.tell(
            GenerationEnded, at, generation=name, reason="finished", candidate=candidate, answer_tokens=tokens,
            seconds=seconds,
        )

    def settle(self, candidate: str, speedup: float | None, at: float = 0.0) -> None:
        self.tell(
            CandidateSettled, at, candidate=candidate, fate="counted", speedup=speedup, entered_H=speedup is not None,
            outcome=Outcome.PASSED if speedup else Outcome.COMPILE_ERROR,
        )

    def now(self) -> Situation:
        return self.ledger.situation(rate=50.0, places=2, waiting=self.ledger.waiting)


def test_a_run_learns_how_fast_its_forks_are() -> None:
    story = Story()
    assert story.now().fork_rate is None
    for name, tokens, seconds in (("f1", 600, 2.0), ("f2", 400, 2.0), ("too short to say", 10, 0.001), ("f4", 0, 0.0)):
        story.fork(name)
        story.answer(name, None, tokens=tokens, seconds=seconds)
    story.answer("main", None, tokens=5000, seconds=1.0)
    assert story.now().fork_rate == pytest.approx(0.7 * 300 + 0.3 * 200)


def test_what_is_under_way_lowers_the_need_for_more() -> None:
    story = Story()
    story.fork("f1")
    story.fork("f2")
    assert story.now().nothing_pending == 0.25 and story.now().running == 2
    story.answer("f1", "c1")
    assert (story.now().running, story.now().waiting, story.now().nothing_pending) == (1, 1, 0.25)
    story.settle("c1", None)
    assert (story.now().waiting, story.now().nothing_pending) == (0, 0.5)


def test_outcomes_count_by_signal() -> None:
    story = Story(1, 2.0, 2.0, 2.0)
    for name, speedup in (("f1", 3.0), ("f2", 1.5), ("f3", None)):
        story.fork(name)
        story.answer(name, f"c{name}")
        story.settle(f"c{name}", speedup)
    story.fork("f4", reason="started")
    story.answer("f4", None)
    assert story.now().outcomes == {"kernel": (1, 2), "started": (0, 1)}


def test_latency_follows_the_run() -> None:
    story = Story()
    assert story.now().latency == 20.0
    story.answer("main", "c1", at=100.0)
    story.settle("c1", 1.0, at=104.0)
    assert story.now().latency == pytest.approx(4.0)
    story.answer("main", "c2", at=200.0)
    story.settle("c2", 1.0, at=214.0)
    assert story.now().latency == pytest.approx(0.7 * 4 + 0.3 * 14)


def test_lengths_are_those_of_finished_reasonings() -> None:
    story = Story()
    story.tell(GenerationEnded, generation="main", reason="finished", reasoning_tokens=900)
    story.tell(GenerationEnded, generation="main", reason="aborted", reasoning_tokens=400)
    assert story.now().lengths == (900,)


def test_a_new_iteration_has_nothing_under_way() -> None:
    story = Story()
    story.fork("f1")
    story.ledger.fold(story.log.iteration(2))
    assert story.now().nothing_pending == 1.0


@pytest.mark.parametrize(("iteration", "H", "expected"), [
    (1, (), "fresh"), (2, (), "failed"), (3, (), "failing"), (9, (), "failing"),
    (2, (0.5,), "behind"), (3, (1.5,), "behind"), (3, (1.5, 1.2), "ahead"), (4, (0.5, 0.6, 0.7), "ahead"),
])
def test_history(iteration: int, H: tuple[float, ...], expected: str) -> None:
    assert history(iteration, H) == expected


def test_capacity_counts_living_workers() -> None:
    capacity = Capacity()
    assert capacity.places(0.0) is None
    for name, slots in (("v1", 2), ("p1", 1)):
        capacity.fold(WorkerBeat(worker=name, at=0.0, stage=Stage.VALIDATE, devices=(), slots=slots))
    assert capacity.places(1.0) == 3
    capacity.fold(WorkerLeft(worker="p1", at=1.0, stage=Stage.PROFILE, reason="end"))
    assert capacity.places(1.0) == 2
    assert capacity.places(BEAT_LIMIT + 1) is None
