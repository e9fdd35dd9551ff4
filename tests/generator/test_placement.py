"""A fork goes where its first token comes soonest."""
from __future__ import annotations

import pytest

from generator.placement import PrefixCost, Replica, place

COST = PrefixCost(load_seconds_per_token=1e-6, compute_seconds_per_token=3e-5)


def replicas(home: float, pool: float, other: float) -> list[Replica]:
    return [
        Replica(name="other", wait_seconds=other), Replica(name="pool", wait_seconds=pool, shares_pool=True),
        Replica(name="home", wait_seconds=home),
    ]


@pytest.mark.parametrize(("waits", "expected"), [
    ((0.0, 0.0, 0.0), "home"),
    ((0.01, 0.0, 0.0), "home"),
    ((0.1, 0.0, 0.0), "pool"),
    ((2.0, 1.0, 0.0), "other"),
])
def test_the_prefix_weighs_against_the_line(waits: tuple[float, float, float], expected: str) -> None:
    assert place("home", 16_384, replicas(*waits), COST).replica == expected


def test_equal_delays_stay_at_home() -> None:
    assert place("home", 0, replicas(1.0, 1.0, 1.0), COST).replica == "home"


def test_a_home_that_is_gone_is_not_chosen() -> None:
    assert place("gone", 16_384, replicas(0.0, 0.0, 0.0), COST).replica == "pool"


def test_what_was_expected_of_each_stands_beside_the_choice() -> None:
    found = place("home", 10_000, replicas(0.5, 0.1, 0.0), COST)
    assert (found.replica, found.prefix, found.tokens) == ("pool", "loaded", 10_000)
    assert found.seconds == pytest.approx({"other": 0.3, "pool": 0.11, "home": 0.5})


def test_a_reasoning_has_no_prefix_anywhere_and_goes_where_least_waits() -> None:
    found = place(None, 0, replicas(0.5, 0.1, 0.2), COST)
    assert (found.replica, found.prefix) == ("pool", "computed")


def test_without_a_replica_there_is_no_place() -> None:
    with pytest.raises(ValueError, match="no replica"):
        place("home", 1, [], COST)
