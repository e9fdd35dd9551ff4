"""The comparisons with recorded verdicts, each disagreement with its reason, and with a plain harness."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.judge.sources import EAGER, TASK, candidate


def recorded(file: Path, *kernels: tuple[str, bool]) -> Path:
    """Candidates with what was said of them, in the recorded format."""
    lines = [
        {"task_id": "t", "task_source": TASK, "kernel": kernel, "outcome": {"correct": correct, "error": None}}
        for kernel, correct in kernels
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_agreement_and_the_reason_where_there_is_none(tmp_path: Path) -> None:
    file = recorded(
        tmp_path / "recorded.jsonl", (candidate("return self.weight * x"), True),
        (candidate("return undefined(x)"), False),
    )
    command = [sys.executable, "-m", "bench.verdicts", "--candidates", str(file), "--device", "cpu", "--count", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["judged"], found["agree"], found["right_there_alone"]) == (2, 1, 1)
    (odd,) = [row for row in found["rows"] if not row["agrees"]]
    assert odd["outcome"] == "wrong_values" and "eager" in odd["why"]


def test_a_file_of_another_kind_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("no json")
    command = [sys.executable, "-m", "bench.verdicts", "--candidates", str(tmp_path / "other"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


def test_the_plain_harness_takes_turns_with_the_judge(tmp_path: Path) -> None:
    file = recorded(
        tmp_path / "recorded.jsonl", (EAGER, True),
        (candidate("return self.weight * x"), False),
    )
    command = [sys.executable, "-m", "bench.judge", "--candidates", str(file), "--count", "2", "--each", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name in ("cold", "warm"):
        assert found[name]["candidates"] == 2 and found[name]["ratio"] > 0
        ours, plain = found[name]["ours"]["rows"], found[name]["plain"]["rows"]
        assert [row["name"] for row in ours] == [row["name"] for row in plain]
        assert [row["outcome"] == "passed" for row in ours] == [row["close"] for row in plain]
        assert any(row["close"] for row in plain)
        assert all(row["stages"]["profile"]["queue"] >= 0 for row in ours if row["outcome"] == "passed")
