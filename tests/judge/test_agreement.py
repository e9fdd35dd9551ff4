"""Which clock counts, what cannot be, and what limits a kernel."""
from __future__ import annotations

import pytest
import torch

from common.judge.lane.agreement import Clocks, counted, disagreement, read_clocks
from common.judge.lane.around import excess
from common.judge.lane.blocks import Block, Empty
from common.judge.lane.limits import Limits, sentence
from common.judge.lane.paired import Pair
from common.judge.lane.roofline import bandwidth, cache_bytes, floor_seconds, operations
from common.messages import Measurement

CPU = torch.device("cpu")
MEASURED = Measurement(
    speedup=3.0, low=2.8, high=3.2, confidence=0.95, candidate_ms=2.0, reference_ms=6.0, pairs=20
)


@pytest.mark.parametrize(
    ("clocks", "words"),
    [
        (Clocks(judge=2e-3, least=2e-3, process=2e-3, spread=1e-5, floor=0.0), ""),
        (Clocks(judge=2e-3, least=2e-3, process=1.2e-3, spread=1e-5, floor=0.0), ""),
        (Clocks(judge=2e-3, least=2e-3, process=0.0, spread=1e-5, floor=0.0), "says 0 ms a call, the judge's 2 ms"),
        (Clocks(judge=2e-5, least=2e-5, process=0.0, spread=1e-5, floor=0.0), ""),
        (Clocks(judge=6e-3, least=2e-3, process=1.2e-3, spread=1e-5, floor=0.0), ""),
        (Clocks(judge=2e-3, least=2e-3, process=2e-3, spread=1e-5, floor=2.5e-3), "less than 2.5 ms"),
        (Clocks(judge=1e-3, least=1e-3, process=3e-3, spread=1e-5, floor=2.5e-3), ""),
        (Clocks(judge=1e-3, least=1e-3, process=1e-3, around=2e-3, spread=1e-5, floor=2.5e-3), ""),
    ],
    ids=[
        "agree", "partly the path", "false", "too short to tell", "waits to be run", "below the floor", "slower",
        "goes on outside",
    ],
)
def test_what_cannot_be_is_said(clocks: Clocks, words: str) -> None:
    assert words in disagreement(clocks) and bool(words) == bool(disagreement(clocks))


@pytest.mark.parametrize(("undisturbed", "accused"), [(1, False), (0, True)])
def test_a_host_that_holds_up_most_windows_accuses_nobody(undisturbed: int, accused: bool) -> None:
    """Whoever lies does so in every window."""
    path = [Empty(1e-4, 1e-6), Empty(1.1e-4, 1e-6)]
    seconds = [2e-4] * undisturbed + [5e-3] * (8 - undisturbed)
    none = Pair(0.0, 0.0)
    blocks = [Block(Pair(2e-4, s), none, Pair(1e-4, 1e-4), none, path, path, False) for s in seconds]
    assert bool(disagreement(read_clocks(4.9e-3, blocks, floor=0.0))) is accused


def test_a_host_that_holds_up_every_window_accuses_nobody() -> None:
    """The reference's honest process does not see what holds it up either."""
    path = [Empty(1e-4, 1e-6), Empty(1.1e-4, 1e-6)]
    blocks = [Block(Pair(5e-3, 5e-3), Pair(0.0, 0.0), Pair(1e-4, 1e-4), Pair(0.0, 0.0), path, path, True)] * 8
    assert not disagreement(read_clocks(4.9e-3, blocks, floor=0.0))


def test_the_slower_clock_counts() -> None:
    assert counted(MEASURED, Clocks(judge=2e-3, least=2e-3, process=2.1e-3, spread=1e-5, floor=0.0)) == MEASURED
    slower = counted(MEASURED, Clocks(judge=2e-3, least=2e-3, process=4e-3, spread=1e-5, floor=0.0))
    assert (slower.speedup, slower.low, slower.high, slower.candidate_ms) == (1.5, 1.4, 1.6, 4.0)
    assert slower.reference_ms == MEASURED.reference_ms


def test_what_goes_on_around_the_window_counts() -> None:
    """A kernel that is still running when its process has answered."""
    outside = [Pair(1e-3 + 1e-5 * (n % 3), 2e-3 - 1e-5 * (n % 4)) for n in range(12)]
    found = excess(outside)
    assert found == pytest.approx(1e-3, rel=0.05)
    longer = counted(MEASURED, Clocks(2e-3, 2e-3, process=2e-3, spread=1e-5, floor=0.0, around=2e-3))
    assert (longer.speedup, longer.low, longer.high, longer.candidate_ms) == (1.5, 1.4, 1.6, 4.0)


def test_what_may_be_chance_does_not_count() -> None:
    offsets = (-3, -2, -1, 0, 1, 2, 3, 4, 5, -4)
    varied = [Pair(1e-3 + 1e-4 * mine, 1e-3 + 1e-4 * its) for mine, its in zip(offsets[::-1], offsets, strict=True)]
    assert excess(varied) == 0.0
    assert excess([Pair(1e-3, 5e-4)] * 5) == 0.0, "less is not a reason to count less"
    assert excess([Pair(0.0, 0.0)] * 5) == 0.0


def test_a_candidate_does_not_choose_the_doubt() -> None:
    """What it leaves running behind a window varies widely, so that its own scatter would hide it."""
    hidden = [1e-3, 4e-3, 11e-3] * 4
    assert excess([Pair(1e-4 + 5e-6 * (n % 3), 1e-4 + work) for n, work in enumerate(hidden)]) > 1e-3


@pytest.mark.parametrize(
    ("moved", "done", "bound", "words"),
    [
        (8_000_000, 0, "memory", "8 GB/s, 80% of a copy's): at most 1.2x is left"),
        (1_000_000, 70_000_000, "arithmetic", "70 GFLOP/s, 70% of a product's): at most 1.4x"),
        (1_000_000, 10_000_000, "neither", "neither memory nor products"),
        (20_000_000, 0, "memory", "200% of a copy's): at most 1.0x"),
    ],
)
def test_a_kernel_under_the_roofline(moved: int, done: int, bound: str, words: str) -> None:
    limits = Limits(seconds=1e-3, bytes_moved=moved, operations=done, bytes_s=1e10, operations_s=1e11)
    assert limits.bound == bound and words in sentence(limits)
    assert limits.record()["memory_share"] == pytest.approx(moved / 1e7)


def test_the_roofline_is_measured() -> None:
    assert 1e8 < bandwidth(CPU) < 1e13 and 1e8 < operations(CPU, torch.float32, False) < 1e15
    assert floor_seconds(cache_bytes(CPU), CPU) == 0.0
    assert floor_seconds(cache_bytes(CPU) + (1 << 30), CPU) == pytest.approx(0.5 * (1 << 30) / bandwidth(CPU))
