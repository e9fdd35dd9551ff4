"""Recorded traces become recordings whose forks answer with what stands in."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import traces
from generator.replay.recording import load
from generator.replay.script import fork_text
from tests.trigger.test_benches import write

BODY = "__global__ void f(float *x) {\n  int first = 1;\n  int second = 2;\n  x[0] = first + second;\n}\n"
REASONING = f"\nLet me see.\n{BODY}That is it."
TASK = next(name for i in range(100) if traces.reports_on(name := f"task{i}"))


def sample(kernel: str, *, thinking: str = REASONING, tokens: int = 2_000, passed: bool = True) -> dict[str, Any]:
    start = thinking.find(BODY)
    marks = [{"kind": "cuda_kernel_body_end", "start": start, "end": start + len(BODY)}] if start >= 0 else []
    return {
        "task_id": TASK, "task_source": "class Model: pass\n", "model": "none", "thinking": thinking,
        "answer": f"```python\n{kernel}\n```", "kernel": kernel, "outcome": {"kind": "x", "correct": passed},
        "stats": {"tok_thinking": tokens, "tok_answer": 300}, "trace_complete": True, "marks": marks,
    }


def pack(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.replayed.from_traces", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_fork_answers_with_the_final_kernel_once_its_body_stands_in_the_reasoning(tmp_path: Path) -> None:
    kernel = f'source = """{BODY}"""\nclass ModelNew: pass'
    file = write(
        tmp_path / "own.jsonl.gz", sample(kernel), sample(kernel + "\n# the second"), sample("def f(): pass"),
        sample(kernel, tokens=20_000),
    )
    packed = pack(str(tmp_path / "out"), "--traces", str(file))
    assert packed.returncode == 0, packed.stderr
    recording = load(tmp_path / "out" / TASK / "recording")
    assert recording.task == "class Model: pass\n" and len(recording.iterations) == 2
    for iteration in recording.iterations:
        assert iteration.reasoning == REASONING.lstrip() and iteration.answer is not None
        (before, _), (after, copied) = iteration.forks
        assert before == 0 and iteration.reasoning[:after].endswith(BODY)
        assert copied.startswith(kernel) and copied.endswith("```\n")
        assert fork_text(iteration, after) == copied and "ModelNew" in fork_text(iteration, after)
        assert fork_text(iteration, after - 1) != copied


def test_what_cannot_be_packed_is_said(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl.gz", sample("class ModelNew: pass"))
    few = pack(str(tmp_path / "out"), "--traces", str(one))
    assert few.returncode == 2 and "no task has 2 samples of 1500 to 4500 tokens" in few.stderr
    (tmp_path / "full").mkdir()
    two = write(tmp_path / "two.jsonl.gz", sample("class ModelNew: 1"), sample("class ModelNew: 2"))
    assert pack(str(tmp_path / "out"), "--traces", str(two)).returncode == 0
    again = pack(str(tmp_path / "out"), "--traces", str(two))
    assert again.returncode == 2 and "is not empty" in again.stderr


def test_only_reasoning_of_the_wanted_length_is_packed(tmp_path: Path) -> None:
    lengths = (2_000, 4_999, 5_000, 6_000, 6_001)
    file = write(tmp_path / "own.jsonl.gz", *(sample("class ModelNew: 1", tokens=length) for length in lengths))
    wanted = ("--traces", str(file), "--tokens", "5000", "6000")
    assert "of 5000 tokens" in (both := pack(str(tmp_path / "out"), *wanted).stdout) and "of 6000 tokens" in both
    few = pack(str(tmp_path / "more"), *wanted, "--iterations", "3")
    assert few.returncode == 2 and "no task has 3 samples of 5000 to 6000 tokens" in few.stderr
