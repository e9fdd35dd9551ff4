"""How many claimed speedups survive, and the reason for each that does not."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from bench.survey import CANDIDATES, reason, sample, summary
from bench.traces import default_files
from bench.verdicts import Recorded, read
from common.messages import Feedback, Judgement, Measurement, Outcome, TaskSource
from tests.judge.sources import EAGER, TASK, candidate

_MEASURED = Measurement(
    speedup=0.9, low=0.8, high=1.05, confidence=0.95, candidate_ms=1.0, reference_ms=0.9, pairs=12,
)
_SLOW = candidate("return [torch.relu(x * self.weight + 0.5) * 2.0 - x for _ in range(20)][0]")
_FAST = candidate("return torch.relu(x * self.weight + 0.5) * 2.0 - x")
_WASTE = TASK.replace("return torch.relu", "for _ in range(40):\n            torch.relu(x)\n        return torch.relu")


def judged(outcome: Outcome, measurement: Measurement | None = None) -> Judgement:
    return Judgement(outcome=outcome, feedback=Feedback(summary="said so"), measurement=measurement)


def recorded(name: str, speedup: float | None, *, correct: bool = True) -> Recorded:
    task = TaskSource(name=name, source=TASK)
    return Recorded(name=name, task=task, source=EAGER, correct=correct, speedup=speedup, error="")


def test_a_claim_survives_where_the_whole_interval_is_above_one() -> None:
    assert reason(3.0, judged(Outcome.WRONG_VALUES)) == "wrong_values: said so"
    assert reason(3.0, judged(Outcome.PASSED, _MEASURED)) == "measured 0.90 (0.80 to 1.05) against a claimed 3.00"
    faster = msgspec.structs.replace(_MEASURED, speedup=1.2, low=1.1, high=1.3)
    assert reason(3.0, judged(Outcome.PASSED, faster)) == ""


def test_what_is_counted() -> None:
    rows = [
        {"outcome": "passed", "labels": [], "measured": 2.0, "reason": "", "fault": ""},
        {"outcome": "passed", "labels": ["library_only"], "measured": 2.0, "reason": "", "fault": ""},
        {"outcome": "passed", "labels": [], "measured": 0.9, "reason": "measured 0.90", "fault": ""},
        {"outcome": "cheated", "labels": [], "reason": "cheated: so", "fault": ""},
        {"outcome": "passed", "labels": [], "reason": "", "fault": ""},
        {"fault": "the judge died"},
    ]
    assert summary(rows) == {
        "claims": 4, "survive": 2, "survive_by_own_kernels": 1, "why_not": {"not faster": 1, "cheated": 1},
        "right_but_not_timed": 1, "faults": 1,
    }


def test_a_sample_holds_claims_alone_and_a_tasks_claims_together() -> None:
    claims = [recorded(f"t{number % 3}", 1.0 + number) for number in range(9)]
    others = [recorded("t9", 0.5), recorded("t9", None), recorded("t9", 2.0, correct=False)]
    drawn = sample(claims + others, 100, seed=1)
    tasks = [claim.task.name for claim in drawn]
    assert len(drawn) == 8, "a claim of exactly 1 is none"
    assert sum(one != other for one, other in pairwise(tasks)) == 2
    assert drawn == sample(claims + others, 100, seed=1) != sample(claims + others, 100, seed=2)


@pytest.mark.skipif(not default_files(CANDIDATES), reason="the recorded candidates are not beside the project")
def test_the_recorded_claims_can_be_read() -> None:
    found = read(default_files(CANDIDATES), [])
    assert len(sample(found, 1000, seed=0)) > 100
    assert all(claim.hardware and claim.speedup and claim.source for claim in found)


@pytest.mark.alone
def test_a_survey_of_three(tmp_path: Path) -> None:
    """One is faster, one slower, one wrong: two validated side by side, and one after the other timed."""
    lines = [
        {"task_id": name, "task_source": task, "kernel": kernel,
         "outcome": {"correct": True, "speedup": 5.0, "hardware": "A100"}}
        for name, task, kernel in (
            ("fast", _WASTE, _FAST), ("slow", TASK, _SLOW), ("wrong", TASK, candidate("return x * self.weight"))
        )
    ]
    file = tmp_path / "claims.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "bench.survey", "--candidates", str(file), "--device", "cpu", "--judges", "2",
               "--seconds", "200"]
    env = os.environ | {"OUT": str(tmp_path), "SPECGEN_JUDGE_TIME_SECONDS": "0.5"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["claims"], found["survive"], found["survive_by_own_kernels"]) == (3, 1, 0)
    assert found["why_not"] == {"not faster": 1, "wrong_values": 1}
    reasons = {row["task"]: row["reason"] for row in found["rows"]}
    assert reasons["fast"] == "" and "against a claimed 5.00" in reasons["slow"]
    assert json.loads((tmp_path / "survey.json").read_text())["rows"] == found["rows"]
