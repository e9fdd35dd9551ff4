"""How well figures repeat: the statistics, and the command on a CPU."""
from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bench.judge.parts import parts
from bench.judge.repeat import between, coverage, shares, variation


def test_variation_is_the_samples_deviation_over_its_mean() -> None:
    found = variation([1.0, 2.0, 3.0])
    assert (found["figures"], found["mean"], found["least"], found["most"]) == (3, 2.0, 1.0, 3.0)
    assert found["coefficient_of_variation"] == pytest.approx(0.5)
    assert variation([1.0]) == {"figures": 1}


def test_an_interval_covers_one_with_its_ends() -> None:
    assert coverage([(0.9, 1.1), (1.0, 1.2), (0.8, 1.0), (1.01, 1.2)]) == {"runs": 4, "cover": 3, "share": 0.75}
    assert coverage([]) == {"runs": 0, "cover": 0, "share": None}


@pytest.mark.parametrize(("total", "cases", "rounds"), [(100, 6, 10), (7, 3, 2), (0, 6, 3), (40, 4, 4)])
def test_runs_are_dealt_evenly_to_rounds_and_cases(total: int, cases: int, rounds: int) -> None:
    dealt = shares(total, cases, rounds)
    in_rounds, in_cases = [sum(row) for row in dealt], [sum(column) for column in zip(*dealt, strict=True)]
    assert sum(in_rounds) == total
    assert max(in_rounds) - min(in_rounds) <= 1
    assert max(in_cases) - min(in_cases) <= 1, in_cases


def test_a_figure_is_told_by_its_parts() -> None:
    record = {
        "pairs_ms": [(2.0, 1.0), (2.0, 1.1), (2.4, 1.2)], "spans_ms": [(1.9, 0.9)] * 3, "around_ms": [(0.0, 0.0)] * 3,
        "launches_ms": [(0.2, 0.2)] * 3, "path_ms": [0.1],
        "candidate_path_ms": [0.2],
    }
    assert parts(record) == {
        "window": {"median": [2000.0, 1100.0], "spread": [400.0, 200.0]},
        "span": {"median": [1900.0, 900.0], "spread": [0.0, 0.0]},
        "around": {"median": [0.0, 0.0], "spread": [0.0, 0.0]},
        "launch": {"median": [200.0, 200.0], "spread": [0.0, 0.0]},
        "path": {"median": [100.0, 200.0], "spread": [0.0, 0.0]},
    }


@pytest.mark.parametrize("held", [0.0, 0.4e-3])
def test_how_much_processes_differ_is_found_again(held: float) -> None:
    """An interval of 0.5 % for the pairs alone, processes that differ by 0.8 %."""
    rng, rows = random.Random(3), []
    for _ in range(400):
        told, speedup = math.hypot(0.005, held / 0.05), math.exp(rng.gauss(0, 0.005) + rng.gauss(0, 0.008))
        rows.append({"speedup": speedup, "low": speedup * math.exp(-1.96 * told),
                     "high": speedup * math.exp(1.96 * told), "candidate_ms": 0.05, "between_ms": held})
    assert between(rows) == pytest.approx(0.008, rel=0.15)
    assert between([]) is None


def test_two_rounds_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.judge.repeat", "--device", "cpu", "--processes", "2", "--aa", "2",
               "--us", "200", "--bounds", "memory", "--seconds", "120"]
    env = os.environ | {"OUT": str(tmp_path), "SPECGEN_JUDGE_TIME_SECONDS": "0.5"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    case = found["cases"]["memory-200us"]
    assert found["rounds"] == case["kernel"]["figures"] == 2
    assert case["kernel"]["coefficient_of_variation"] >= 0.0
    assert found["aa"]["runs"] == 2
    assert all(row["speedup"] > 0 and row["low"] <= row["high"] for row in found["rows"])
    assert all(row["parts_us"]["span"]["median"][0] > 0 and row["spent"]["timed"] > 0 for row in found["rows"])
    assert json.loads((tmp_path / "repeat.json").read_text())["cases"] == found["cases"]
