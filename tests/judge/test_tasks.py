"""What a judge process keeps of a task: references as far as there is room."""
from __future__ import annotations

import weakref

import msgspec
import pytest
import torch

from common.judge.check import Case, Expected
from common.judge.lane.tasks import KnownTask, Tasks
from common.messages import TaskSource
from tests.kernels.corpus import task_source

SOFTMAX = TaskSource(name="softmax", source=task_source("softmax"))


def known(room: int | None) -> KnownTask:
    return KnownTask(SOFTMAX, torch.device("cpu"), room)


def test_references_are_computed_once_where_there_is_room() -> None:
    task = known(None)
    first, again = list(task.usable()), list(task.usable())
    assert len(first) >= 10 and all(a is b for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_what_does_not_fit_is_computed_again_and_is_the_same(share: float) -> None:
    everything = known(None)
    whole = sum(expected.nbytes for expected in everything.usable())
    task = known(int(share * whole))
    first, again = list(task.usable()), list(task.usable())
    assert task.kept <= share * whole
    assert sum(a is b for a, b in zip(first, again, strict=True)) < len(first)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.exact[0], b.exact[0]) and torch.equal(a.eager[0], b.eager[0])


def test_what_a_suspect_needed_counts_as_kept() -> None:
    task = known(None)
    expected = next(task.usable())
    before = expected.nbytes
    assert expected.spread[0] is not None and expected.nbytes > before


def test_a_reference_that_is_not_kept_is_gone_before_the_next_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of a large task's do not fit a device at once."""
    task, computed = known(0), list[weakref.ref[Expected]]()
    compute = task.reference

    def alone(case: Case) -> Expected:
        assert not any(there() for there in computed)
        expected = compute(case)
        computed.append(weakref.ref(expected))
        return expected

    monkeypatch.setattr(task, "reference", alone)
    for expected in task.usable():
        del expected
    assert len(computed) >= 10


def test_large_references_are_kept_of_the_last_task_alone() -> None:
    device, tasks = torch.device("cpu"), Tasks()
    first = tasks.get(SOFTMAX, device)
    for expected in first.usable():
        del expected
    other = msgspec.structs.replace(SOFTMAX, source=SOFTMAX.source + "\n")
    tasks.get(other, device)
    assert first.kept, "small ones stay"
    first.room = first.kept
    tasks.get(other, device)
    assert not first.kept
    assert next(first.usable()).usable, "and are computed again"
