"""From pairs to a figure: the interval holds what it says it holds, and how many pairs are still needed."""
from __future__ import annotations

import random

import msgspec
import pytest

from common.judge.lane.between import between
from common.judge.lane.paired import STEP, Pair, measure, missing, student, tail
from common.messages.judgement import Measurement

_PATH = 1e-4


@pytest.mark.parametrize(("freedom", "quantile"), [(4, 2.776), (11, 2.201), (23, 2.069), (59, 2.001)])
def test_students_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student(0.975, freedom) == pytest.approx(quantile, abs=0.01)


def test_tails_are_narrower_for_few_pairs_and_nominal_for_many() -> None:
    tails = [tail(0.95, count) for count in (2, 6, 12, 60, 10_000)]
    assert tails == sorted(tails)
    assert tails[2] == pytest.approx(0.0108, abs=1e-4) and tails[-1] == pytest.approx(0.025, abs=1e-4)
    assert tail(0.95, 1) == 0.0


def equal_sides(rng: random.Random, count: int, noise: float) -> tuple[list[Pair], list[float]]:
    """Two sides of a millisecond, and the path's."""
    pairs = [Pair(*(1e-3 * (1 + rng.gauss(0, noise)) + _PATH for _ in range(2))) for _ in range(count)]
    return pairs, [_PATH * (1 + rng.gauss(0, 0.02)) for _ in range(3 * count)]


def test_an_interval_of_twelve_pairs_holds_the_ratio_as_often_as_it_says() -> None:
    rng, held = random.Random(7), 0
    for _ in range(200):
        found = measure(*equal_sides(rng, 12, 0.01), 0.95, rng)
        held += found.low <= 1.0 <= found.high
    assert held >= 0.95 * 200


def test_processes_differ_by_a_time_a_call_and_by_a_share_of_it() -> None:
    assert between("cuda", 1e-6) == pytest.approx(0.3e-6, rel=0.01)
    assert between("cuda", 1e-2) == pytest.approx(1e-4, rel=0.01)
    assert between("cpu", 1e-3) == 0.0


def test_what_processes_differ_by_is_in_the_interval_and_not_in_the_speedup() -> None:
    sides = equal_sides(random.Random(5), 12, 0.001)
    alone, wider = (measure(*sides, 0.95, random.Random(6), lambda _, s=s: s) for s in (0.0, 2e-5))
    assert wider.speedup == alone.speedup
    assert alone.high - alone.low < 0.01
    assert wider.high - wider.low == pytest.approx(2 * 2.2 * 0.02, rel=0.3)


def measured(low: float, high: float, pairs: int = 12) -> Measurement:
    return Measurement(
        speedup=2.0, low=low, high=high, confidence=0.95, candidate_ms=1.0, reference_ms=2.0, pairs=pairs
    )


def test_pairs_are_planned_by_the_square_of_the_width() -> None:
    assert missing(measured(1.97, 2.03), 0.04) == 0
    assert missing(measured(1.9201, 2.0799), 0.04) == 3 * 12, "twice as wide as wanted"
    assert missing(measured(1.9599, 2.0401), 0.04) == STEP
    assert missing(measured(2.0, 2.0), 0.0) > 1000, "no interval is"
    wide = msgspec.structs.replace(measured(1.01, 2.99), pairs=24)
    assert 24 * 600 < missing(wide, 0.04) < 24 * 625
