"""Devices that fail are taken out and tried again."""
from __future__ import annotations

import pytest

from common.messages import AttemptFailed
from scheduler.fleet import Device
from tests.scheduler.desk import Desk, P, V


@pytest.fixture
def desk() -> Desk:
    desk = Desk(attempts=9, quarantine_after=3, quarantine_seconds=30.0, quarantine_most=100.0, worker_timeout=1e9)
    desk.tell(*desk.pool("good", "bad", "other"), *desk.forks(*(f"f{i}" for i in range(9))))
    return desk


def bad(desk: Desk) -> Device:
    return desk.core.fleet.devices["bad"]


def fail(desk: Desk, name: str, *, hint: bool = False) -> None:
    attempt = desk.core._attempts.next_of(next(i for i in desk.core.book.requests if i.candidate == name))
    failed: AttemptFailed = desk.failed(name, attempt, device="bad", quarantine=hint, reason="no answer")
    desk.tell(failed)


def test_different_candidates_that_fail_in_a_row_take_a_device_out(desk: Desk) -> None:
    for name in ("f1", "f1", "f1", "f2"):
        fail(desk, name)
    assert bad(desk).state != "quarantined", "one candidate that fails everywhere says nothing about a device"
    fail(desk, "f3")
    assert bad(desk).state == "quarantined" and desk.roles()["bad"] == ""
    assert desk.assigned[-1].changed["bad"] == "quarantined: no answer"
    assert desk.roles()["good"] and desk.roles()["other"], "the others go on"


def test_a_result_in_between_clears_it(desk: Desk) -> None:
    for name in ("f1", "f2"):
        fail(desk, name)
    good = desk.passes("f4")
    desk.tell(type(good)(**{f: getattr(good, f) for f in good.__struct_fields__} | {"device": "bad"}))
    fail(desk, "f3")
    assert bad(desk).state == "idle"


def test_a_device_that_does_not_answer_is_out_at_once(desk: Desk) -> None:
    fail(desk, "f1", hint=True)
    assert bad(desk).state == "quarantined"


def test_it_is_let_in_for_one_trial_and_out_for_twice_as_long_if_that_fails(desk: Desk) -> None:
    fail(desk, "f1", hint=True)
    for seconds in (30.0, 60.0, 100.0, 100.0):
        desk.now += seconds - 0.1
        desk.act()
        assert bad(desk).state == "quarantined"
        desk.now += 0.2
        desk.act()
        assert bad(desk).state == "idle" and desk.roles()["bad"] in ("v", "p")
        assert desk.assigned[-1].changed["bad"] == "let in for a trial"
        fail(desk, "f2")
    desk.now += 101.0
    desk.act()
    good = desk.passes("f4")
    desk.tell(type(good)(**{f: getattr(good, f) for f in good.__struct_fields__} | {"device": "bad"}))
    fail(desk, "f3")
    assert bad(desk).state == "idle", "a result makes it as good as any other"


def test_work_waits_while_its_only_device_is_out() -> None:
    desk = Desk(quarantine_seconds=30.0, attempts=2, worker_timeout=1e9)
    desk.tell(*desk.pool("d1"), *desk.forks("f1"))
    desk.tell(desk.failed("f1", 1, device="d1", quarantine=True))
    desk.out.clear()
    desk.now = 29.0
    assert desk.issued(*desk.forks("f2")) == []
    desk.now = 31.0
    assert desk.issued() == ["f1"] and desk.roles() == {"d1": "vp"}
    assert (desk.core.fleet.serving[V], desk.core.fleet.serving[P]) == (1, 1)
