"""Reading recordings and traces, and what is said about broken ones."""
from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UsageError
from generator.replay.command import read_recording
from generator.replay.recording import load
from generator.replay.script import Refusal, script
from generator.replay.tokens import render

TOML = 'format = 1\nmodel = "m"\nrate = 45.0\ntask = "../task.py"\n[iterations.2]\nexpects_any = ["passed"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recording = tmp_path / "recording"
    for number in ("1", "2"):
        (recording / number).mkdir(parents=True)
        (recording / number / "reasoning.md").write_text("Think. " * 10)
        (recording / number / "answer.md").write_text("Done.")
    (recording / "1" / "fork-20.md").write_text("```python\ntwenty\n```\n")
    (recording / "1" / "fork-7.md").write_text("```python\nseven\n```\n")
    (recording / "recording.toml").write_text(TOML)
    (tmp_path / "task.py").write_text("class Model: pass\n")
    return recording


def test_reads_a_directory(folder: Path) -> None:
    read = load(folder)
    assert (read.model, read.rate, read.fence, read.task) == ("m", 45.0, "python", "class Model: pass\n")
    assert read.iterations[0].forks == ((7, "seven\n```\n"), (20, "twenty\n```\n"))
    assert [i.expects_any for i in read.iterations] == [(), ("passed",)]
    assert read.iteration(3) is None and read.iteration(0) is None


def test_an_iteration_without_an_answer_is_cut_off(folder: Path) -> None:
    (folder / "1" / "answer.md").unlink()
    prompt = render([("user", "Iteration 1 of 1\nclass Model: pass")], open_turn=True)
    assert script(load(folder), prompt).finish_reason == "length"


def rewrite(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(("damage", "said"), [
    (lambda f: (f / "recording.toml").unlink(), "does not exist"),
    (rewrite("recording.toml", "format = "), "recording.toml"),
    (rewrite("recording.toml", TOML.replace("rate", "pace")), "rate|pace"),
    (rewrite("recording.toml", TOML.replace("45.0", "0")), "above 0"),
    (rewrite("recording.toml", TOML.replace("45.0", "nan")), "above 0"),
    (rewrite("recording.toml", TOML.replace("format = 1", "format = 9")), "format 9 is not known"),
    (rewrite("recording.toml", TOML.replace("iterations.2", "iterations.5")), "no folder for iteration 5"),
    (rewrite("recording.toml", TOML.replace("../task.py", "gone.py")), "gone.py does not exist"),
    (lambda f: (f / "1" / "reasoning.md").unlink(), "reasoning.md does not exist"),
    (rewrite("1/reasoning.md", "a</think>b"), "nor hold </think>"),
    (rewrite("1/reasoning.md", "\nThink. Think. Think."), "white space"),
    (rewrite("1/fork-9999.md", "```python\n```\n"), "of which there are 70"),
    (rewrite("1/fork-x.md", "```python\n```\n"), "fork-<characters"),
    (rewrite("1/fork-9.md", "class ModelNew"), "begins with"),
    (lambda f: (f / "2").rename(f / "3"), "without a gap"),
    (lambda f: (f / "1" / "answer.md").write_bytes(b"\xff"), "cannot read"),
])
def test_says_what_is_wrong(folder: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(folder)
    with pytest.raises(UsageError, match=said):
        load(folder)


def record(task: str, thinking: str, **fields: object) -> str:
    return json.dumps({"model": "M", "task_id": task, "thinking": thinking, "answer": "A", "task_source": "S"} | fields)


@pytest.fixture
def traces(tmp_path: Path) -> str:
    path = tmp_path / "traces.jsonl.gz"
    lines = [record("a", "a0"), record("b", "b0"), record("a", "a1", trace_complete=False), ""]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return str(path)


def test_reads_a_trace_by_task_and_by_index(traces: str) -> None:
    by_task = read_recording(f"{traces}#a")
    assert [by_task.iteration(n).reasoning for n in (1, 2, 3)] == ["a0", "a1", "a0"]  # type: ignore[union-attr]
    assert (by_task.model, by_task.task, by_task.iterations[1].answer) == ("M", "S", None)
    assert [i.reasoning for i in read_recording(f"{traces}#2").iterations] == ["a1", "a0"]


@pytest.mark.parametrize(("selector", "said"), [("", "name one as"), ("#c", "no trace of task c; it has a, b"),
                                                ("#9", "there is no #9")])
def test_a_wrong_selector(traces: str, selector: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_recording(traces + selector)


def test_no_file_of_traces(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    with pytest.raises(UsageError, match="does not exist"):
        read_recording(f"{path}#1")
    for content in (b"plain", gzip.compress(b'{"model": 1}'), gzip.compress(b"x" * 999)[:-12]):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="no file of traces"):
            read_recording(f"{path}#1")


SHARED = Path(__file__).parents[3] / "shared" / "traces"


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/traces is not there")
@pytest.mark.parametrize("name", ["reasoning_gptoss120b_glm45air_triton", "reasoning_degenerate_loops"])
def test_real_traces_play(name: str) -> None:
    recording = read_recording(f"{SHARED / name}.jsonl.gz#0")
    prompt = render([("user", f"Iteration 1 of 1\n{recording.task}")], open_turn=True)
    said = script(recording, prompt)
    assert said.text.startswith(recording.iterations[0].reasoning)
    forked = f"{prompt}{recording.iterations[0].reasoning[:500]}\n</think>\n\n```python\n"
    assert script(recording, forked).kind == "fork"
    with pytest.raises(Refusal):
        script(recording, "Hello")
