"""The benches as commands: on a trace written here, on nothing, on rubbish, and on a sample of the recordings."""
from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import standins, traces
from tests.trigger.test_parse import MODEL
from tests.trigger.texts import kernel, prose

ROOT = Path(__file__).parents[2]
BENCHES = ("bench.trigger", "bench.speculation")
needs_recordings = pytest.mark.skipif(
    not traces.default_files(traces.REASONING), reason="no recordings beside the project"
)


def bench(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240
    )


def record(task: str, *, passed: bool = True, cls: str = "reasoning", thinking: str | None = None) -> dict[str, Any]:
    body = kernel(1)
    text = thinking or prose(1, 600) + body + prose(2, 600)
    start = text.find(body)
    marks = [] if start < 0 else [{"kind": "cuda_kernel_body_end", "start": start, "end": start + len(body) - 1}]
    outcome = {"kind": "correct" if passed else "incorrect", "correct": passed, "speedup": 2.0 if passed else None}
    return {
        "task_id": task, "model": "none", "thinking": text, "kernel": f'source = """{body}"""\n{MODEL}',
        "outcome": outcome,
        "stats": {"tok_thinking": len(text) // 4, "tok_answer": 300, "pos_first_assemblable": None},
        "trace_complete": cls == "reasoning", "cls": cls, "marks": marks,
    }


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in records).encode()))
    return path


def reported_tasks(count: int) -> list[str]:
    return [name for i in range(100) if traces.reports_on(name := f"task{i}")][:count]


def test_the_trigger_bench_on_a_file_of_ones_own(tmp_path: Path) -> None:
    loop = record("loop", cls="degenerate_loop", thinking="The input is contiguous. \n\n" * 900)
    path = write(tmp_path / "own.jsonl.gz", record("a"), record("b"), loop)
    report = json.loads(bench("bench.trigger", "--json", "--traces", str(path)).stdout)
    [row] = report["caught"]
    assert (row["kind"], row["places"], row["recall"]) == ("cuda_kernel_body_end", 2, 1.0) and row["lag_p99"] < 3
    assert (report["degenerate"], report["degenerate_ended"], report["falsely_ended"]) == (1, 1, 0)
    ours = next(p for p in report["policies"] if p["policy"] == "ours")
    assert ours["forks_mean"] >= 1 and ours["recall"]["cuda_kernel_body_end"] == 1.0


def speculation(*arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads(bench("bench.speculation", "--json", *arguments).stdout)
    return {(row["rule"], row["policy"]): row for row in rows}


def test_speculation_on_a_file_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl.gz", *(record(task) for task in reported_tasks(3)))
    by = speculation("--seeds", "2", "--traces", str(path))
    assert by["draft", "no speculation"]["saving"] == 0
    assert 0 < by["draft", "ours"]["saving"] <= by["draft", "oracle"]["saving"] + 1e-9
    assert by["draft", "ours"]["stopped"] == 1.0
    fast = speculation("--seeds", "2", "--traces", str(path), "--fork-speed", "6")
    assert by["draft", "ours"]["hours"] > fast["draft", "ours"]["hours"], "a fork that is generated faster ends sooner"


@pytest.mark.parametrize("module", BENCHES)
def test_a_file_that_is_no_recording(module: str, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.jsonl"
    rubbish.write_text('{"task_id": "a"}\n')
    found = bench(module, "--traces", str(rubbish))
    assert found.returncode == 2 and "is not a trace" in found.stderr and "Traceback" not in found.stderr
    missing = bench(module, "--traces", str(tmp_path / "missing.jsonl.gz"))
    assert missing.returncode == 2 and "cannot read" in missing.stderr


@pytest.mark.parametrize("module", BENCHES)
def test_nothing_to_read_is_said_and_no_failure(module: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    found = bench(module, "--traces", str(empty))
    assert found.returncode == 0 and "skipped" in found.stdout


def test_stand_ins_follow_their_rules(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl.gz", record("a"), record("a", passed=False))
    good, bad = traces.load([path])
    pool = standins.Pool([good, bad], [], [])
    before, after = good.marks[0].start, good.marks[0].end
    assert not pool.fork("draft", good, before, 0, 1).passed
    assert pool.fork("draft", good, after, 0, 1).passed
    assert not pool.fork("draft", bad, after, 0, 1).passed
    assert pool.steps("draft", good) == [0, after]
    assert pool.fork("mixture", good, after, 0, 1) == pool.fork("mixture", good, after, 5, 1)
    assert pool.fork("sibling", good, len(good.thinking), 0, 1).key.endswith(bad.id)
    assert pool.main(good, 1).key != pool.fork("draft", good, after, 0, 1).key


@needs_recordings
def test_recall_and_cost_on_a_sample_of_the_recordings() -> None:
    report = json.loads(bench("bench.trigger", "--json", "--sample", "25").stdout)
    rows = {row["kind"]: row for row in report["caught"]}
    assert rows["cuda_kernel_body_end"]["recall"] > 0.97 and rows["full_candidate_fence"]["recall"] > 0.97
    assert report["falsely_ended"] == 0


@needs_recordings
def test_speculation_pays_on_a_sample_of_the_recordings() -> None:
    rows = speculation("--seeds", "1", "--sample", "12")
    by = {key: row["saving"] for key, row in rows.items()}
    for rule in standins.RULES:
        assert all(saving <= by[rule, "oracle"] + 1e-9 for (r, _), saving in by.items() if r == rule)
    assert by["draft", "ours"] > by["draft", "fence only"]
