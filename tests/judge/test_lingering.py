"""Who keeps a device busy while the reference is timed."""
from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from common.judge.faults import JudgeFault
from common.judge.lane import lingering
from common.judge.lane.candidate import Candidate
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.filler import Filler, filler_of
from common.judge.lane.lingering import HELD_UP, Lingering
from common.messages import Outcome


class Asked(Filler):
    """Answers as it is told."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        super().__init__(torch.device("cpu"))
        self.busy = busy
        self.times = 0

    def held_up(self) -> float:
        self.times += 1
        return 10 * HELD_UP if self.busy() else 1.0


class OnAGpu(Filler):
    """Whose products take so many seconds each by a clock of its own, the last of them for ever."""

    def __init__(self, products: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.products, self.now = products, 0.0
        clock = SimpleNamespace(perf_counter=lambda: self.now)
        monkeypatch.setattr("common.judge.lane.filler.time", clock)
        monkeypatch.setattr(torch, "randn", lambda *size, **options: torch.zeros(1))
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        super().__init__(torch.device("cuda"))

    def _multiply(self, times: int) -> None:
        self.now += self.products.pop(0) if len(self.products) > 1 else self.products[0]


@pytest.mark.parametrize("first", [2e-3, 0.3])
def test_the_first_product_of_a_process_tells_nothing(first: float, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OnAGpu([first, 2e-4], monkeypatch).held_up() == pytest.approx(1.0)
    assert OnAGpu([first, 2e-4, 2e-3, 2e-4], monkeypatch).held_up() == pytest.approx(10.0)


class Killable:
    killed = False

    def kill(self) -> None:
        self.killed = True


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_BEFORE_SECONDS", "_PATIENCE_SECONDS", "_TEARDOWN_SECONDS"):
        monkeypatch.setattr(lingering, name, 0.05)


def checked(filler: Asked, busy: Callable[[Killable], bool]) -> Killable:
    """What is busy from the second question on, when the candidate is loaded."""
    found, candidate = Lingering(filler), Killable()
    filler.busy = lambda: busy(candidate)
    found.check(cast(Candidate, candidate))
    return candidate


def test_an_idle_device_is_asked_once() -> None:
    filler = Asked(lambda: False)
    assert not checked(filler, lambda candidate: False).killed
    assert filler.times == 2


def test_a_device_that_was_held_up_for_a_moment_is_idle() -> None:
    filler = Asked(lambda: False)
    assert not checked(filler, lambda candidate: filler.times < 5).killed


def test_a_device_that_falls_idle_when_the_candidate_is_ended_was_busy_with_it() -> None:
    with pytest.raises(CandidateEnded) as caught:
        checked(Asked(lambda: False), lambda candidate: not candidate.killed)
    assert caught.value.outcome is Outcome.CHEATED and "run on" in caught.value.feedback.summary


def test_a_device_that_stays_busy_was_so_with_somebody_else() -> None:
    with pytest.raises(JudgeFault, match="somebody else"):
        checked(Asked(lambda: False), lambda candidate: True)


def test_where_others_are_at_work_before_the_candidate_is_loaded_nobody_is_accused() -> None:
    assert not checked(Asked(lambda: True), lambda candidate: True).killed


def test_a_process_that_ends_before_the_candidate_is_loaded_is_waited_for() -> None:
    filler = Asked(lambda: filler.times < 5)
    with pytest.raises(CandidateEnded):
        checked(filler, lambda candidate: not candidate.killed)


def test_a_cpu_is_never_held_up_and_a_device_has_one_filler() -> None:
    assert filler_of(torch.device("cpu")) is filler_of(torch.device("cpu"))
    assert filler_of(torch.device("cpu")).held_up() == 1.0
