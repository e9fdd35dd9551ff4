"""The comparison with recorded verdicts: read, judged, and each disagreement with its reason."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.judge.sources import TASK, candidate


def test_agreement_and_the_reason_where_there_is_none(tmp_path: Path) -> None:
    kernels = [
        (candidate("return self.weight * x"), True),
        (candidate("return undefined(x)"), False),
    ]
    lines = [
        {"task_id": "t", "task_source": TASK, "kernel": kernel, "outcome": {"correct": correct, "error": None}}
        for kernel, correct in kernels
    ]
    file = tmp_path / "recorded.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
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
