"""The simulation of memory pressure: what it counts, and that a tier does what it is for."""
from __future__ import annotations

import pytest

from bench.kv.chains import Chains
from bench.kv.costs import Costs
from bench.kv.pressure import Outcome, Reasoning, Tier
from bench.kv_pressure import reasoning, simulate
from bench.traces import Mark, Trace

REASONINGS = [Reasoning(f"r{n}", 1_000, 4_000, ((1_000, 300), (2_500, 300))) for n in range(6)]


def outcome(tier: Tier, budget: int, replicas: int = 2) -> Outcome:
    return simulate(REASONINGS, Costs(), tier, replicas=replicas, budget=budget, tier_budget=100_000)


def test_costs_are_the_measured_ones_and_linear_between() -> None:
    costs = Costs()
    assert costs.compute(0, 8_192) == 0.227
    assert costs.compute(8_192, 16_384) == pytest.approx(0.285)
    assert costs.compute(16_384, 8_192) == 0.0
    assert costs.compute(0, 5_120) == pytest.approx((0.055 + 0.227) / 2)
    assert costs.compute(32_768, 49_152) == pytest.approx(1.286 - 0.512)


def test_of_the_coldest_prefix_the_end_goes_first() -> None:
    chains = Chains(100)
    chains.put("a", 60)
    chains.put("b", 40)
    chains.touch("a")
    assert chains.put("c", 10)
    assert (chains.held("a"), chains.held("b"), chains.held("c")) == (60, 30, 10)
    assert not chains.put("d", 60, frozenset({"a", "b", "c"}))
    assert chains.held("d") == 0


def test_without_pressure_nothing_is_recomputed() -> None:
    found = outcome("none", 200_000, replicas=1)
    assert (found.computed, found.preempted) == (0, 0)
    assert len(found.fork_seconds) == 12


def test_under_pressure_a_shared_pool_recomputes_least_and_ends_first() -> None:
    none, host, ours = (outcome(tier, 8_000) for tier in ("none", "host", "ours"))
    assert none.preempted > 0
    assert none.recomputed_share > host.recomputed_share >= ours.recomputed_share
    assert ours.seconds <= host.seconds <= none.seconds
    assert all(len(found.fork_seconds) == 12 for found in (none, host, ours))


def test_a_forks_own_tokens_take_room_until_it_ends_and_are_not_the_reasonings() -> None:
    """Three at once, of one reasoning of 3,000 tokens: up to 5,200 tokens in all."""
    one = [Reasoning("r", 1_000, 2_000, ((800, 1_000), (1_000, 1_000), (1_200, 1_000)))]

    def found(budget: int) -> Outcome:
        return simulate(one, Costs(), "none", replicas=1, budget=budget, tier_budget=0)

    roomy, tight = found(5_300), found(4_000)
    assert (roomy.preempted, roomy.computed) == (0, 0)
    assert tight.preempted > 0, "3,200 would do if they were the reasoning's"
    assert tight.computed > 0, "what a fork generated is not found again"
    assert len(tight.fork_seconds) == 3


def test_a_request_that_never_fits_is_an_error_and_not_an_endless_loop() -> None:
    with pytest.raises(RuntimeError, match="whole cache"):
        outcome("none", 3_000)


def test_forks_are_where_a_candidate_was_complete_within_the_limits() -> None:
    marks = tuple(Mark("kernel", 0, end) for end in (400, 500, 4_000, 40_000))
    trace = Trace(
        id="t", task="k", model="m", thinking="x" * 20_000, tokens=5_000, answer_tokens=700, kernel="", passed=None,
        speedup=None, complete=True, degenerate=False, marks=marks, assemblable=None,
    )
    assert reasoning(trace).forks == ((100, 700), (1_000, 700))
