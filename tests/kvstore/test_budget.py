"""How much the pool may have, and when a job may start."""
from __future__ import annotations

import pytest

from kvstore.budget import Limits, shortfall, surplus
from kvstore.reserve import Decision, Reservations

LIMITS = Limits(chunk=10, most=100, headroom=30, floor=15, idle=5.0)


@pytest.mark.parametrize(("case", "expected"), [
    ({"free": 200, "own": 0}, 10),
    ({"free": 75, "own": 0}, 4),
    ({"free": 75, "own": 0, "idle": 4.9}, 0),
    ({"free": 75, "own": 0, "reserved": True}, 0),
    ({"free": 75, "own": 0, "leaving": 10}, 0),
    ({"free": 200, "own": 95}, 0),
    ({"free": 14, "own": 50}, -1),
    ({"free": 0, "own": 50}, -2),
    ({"free": 0, "own": 10}, -1),
    ({"free": 5, "own": 50, "leaving": 10}, 0),
    ({"free": 0, "own": 50, "reserved": True}, 0),
    ({"free": 0, "own": 120}, -2),
])
def test_surplus(case: dict[str, float], expected: int) -> None:
    values = {"leaving": 0, "reserved": False, "idle": 60.0} | case
    assert surplus(LIMITS, **values) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("need", "free", "leaving", "expected"), [
    (50, 60, 0, 0), (50, 45, 0, 1), (50, 20, 0, 3), (50, 20, 30, 0), (500, 0, 0, 4),
])
def test_shortfall(need: int, free: int, leaving: int, expected: int) -> None:
    assert shortfall(LIMITS, need=need, free=free, leaving=leaving, own=40) == expected


@pytest.mark.parametrize(("need", "free"), [(0, 0), (50, 60), (500, 0)])
def test_all_chunks_are_given_up_for_everything_however_much_is_free(need: int, free: int) -> None:
    assert shortfall(LIMITS, need=need, free=free, leaving=20, own=40, everything=True) == 4


def ask(reservations: Reservations, need: int = 50, quiet: bool = False, now: float = 0.0) -> None:
    assert reservations.ask("r", need=need, quiet=quiet, now=now, until=now + 100)


def test_a_reservation_is_granted_when_the_memory_is_free() -> None:
    made = Reservations(patience=1.0)
    ask(made)
    assert made.decide(0.1, free=49, held=0, quiet=True, blocker="") == []
    assert made.need == 50
    assert made.decide(0.2, free=50, held=0, quiet=False, blocker="") == [Decision("r", True)]
    assert made.need == 0
    assert made.active
    assert made.decide(9.0, free=0, held=0, quiet=False, blocker="") == [], "it is granted once"


def test_a_quiet_one_waits_for_the_transfers() -> None:
    made = Reservations(patience=1.0)
    ask(made, quiet=True)
    assert made.decide(0.1, free=99, held=0, quiet=False, blocker="engine a copies") == []
    assert made.decide(0.2, free=99, held=0, quiet=True, blocker="") == [Decision("r", True)]


def test_one_that_cannot_be_met_is_denied_with_what_is_in_the_way() -> None:
    made = Reservations(patience=1.0)
    ask(made)
    assert made.decide(1.0, free=0, held=0, quiet=True, blocker="engine a has 2 chunks") == [
        Decision("r", False, "engine a has 2 chunks")
    ]
    assert not made.active


def test_asking_again_changes_nothing_and_a_dead_workers_reservation_ends() -> None:
    made = Reservations(patience=1.0)
    ask(made)
    assert not made.ask("r", need=1, quiet=False, now=5.0, until=5.0)
    assert made.expire(99.0) == []
    assert made.expire(100.0) == ["r"]
    assert made.ended_at == 100.0
    assert not made.release("r", 101.0)


def test_everything_is_granted_when_the_pool_holds_nothing_however_little_is_free() -> None:
    made = Reservations(patience=1.0)
    assert made.ask("all", need=0, quiet=False, now=0.0, until=100.0, everything=True)
    assert made.everything
    assert made.decide(0.1, free=99, held=10, quiet=True, blocker="") == []
    assert made.decide(0.2, free=0, held=0, quiet=True, blocker="") == [Decision("all", True)]
    assert not made.everything


def test_everything_is_denied_like_anything_else_and_may_need_bytes_as_well() -> None:
    made = Reservations(patience=1.0)
    made.ask("all", need=50, quiet=False, now=0.0, until=100.0, everything=True)
    assert made.decide(0.1, free=49, held=0, quiet=True, blocker="") == []
    assert made.decide(1.0, free=99, held=10, quiet=True, blocker="engine a has 2 chunks") == [
        Decision("all", False, "engine a has 2 chunks")
    ]


def test_a_job_that_has_a_reservation_may_ask_for_everything_besides() -> None:
    made = Reservations(patience=1.0)
    ask(made)
    assert made.decide(0.1, free=50, held=10, quiet=True, blocker="") == [Decision("r", True)]
    assert made.ask("all", need=0, quiet=False, now=0.2, until=100.0, everything=True)
    assert made.decide(0.3, free=0, held=0, quiet=True, blocker="") == [Decision("all", True)]
    made.release("all", 0.4)
    assert made.active, "the first one is held still"
