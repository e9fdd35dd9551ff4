"""`specgen run` as a user runs it: one command, its folder, its exit code, nothing left behind."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from common.report import events as event_file
from common.report.summary import Summary, summarise
from tests.pipeline.recordings import TASK, write_recording
from tests.pipeline.system import alive, descendants

ITERATIONS = [(["wrong_values", "compile_error", "passed"], "runtime_error"), (["passed", "wrong_shape"], "passed")]


def specgen(*arguments: str | Path, timeout: float = 120.0, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "common.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **env})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run without stops, so that every fate is settled."""
    folder = tmp_path_factory.mktemp("run")
    task, recording = write_recording(folder, ITERATIONS)
    out = folder / "out"
    done = specgen("run", task, "--replay", recording, "--iterations", 2, "--stop", "never", "--out", out,
                   "--allow-library", XDG_STATE_HOME=str(folder / "home"))
    return out, done


def test_it_ends_with_a_report_and_every_file(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = finished
    assert done.returncode in (0, 1), done.stderr
    names = {path.name for path in out.iterdir()}
    assert {"best.py", "report.md", "summary.json", "events.jsonl", "candidates", "specgen.toml"} <= names
    summary = json.loads((out / "summary.json").read_text())
    assert (out / "best.py").read_text() == (out / "candidates" / f"{summary['best']['candidate']}.py").read_text()
    assert done.returncode == (0 if summary["best"]["speedup"] > 1.0 else 1)
    assert "ModelNew" in (out / "best.py").read_text()


def test_each_failing_fate_is_reported_as_such(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, _ = finished
    summary = summarise(event_file.read(out / "events.jsonl"))
    assert summary.candidates["fork"] == {"wrong_values": 1, "compile_error": 1, "passed": 2, "wrong_shape": 1}
    assert summary.candidates["main"] == {"runtime_error": 1, "passed": 1}
    report = (out / "report.md").read_text()
    for outcome in ("wrong_values", "compile_error", "wrong_shape", "runtime_error"):
        assert outcome in report


def test_every_number_of_the_summary_follows_from_the_events(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, _ = finished
    again = summarise(event_file.read(out / "events.jsonl"))
    assert msgspec.json.decode((out / "summary.json").read_bytes(), type=Summary) == again
    assert again.fates["counted"] == 7 and again.reason == "iterations"
    assert again.tokens["main"].generations == 2 and again.tokens["fork"].generations == 5
    assert again.tokens["main"].reasoning > 500 and again.wall_seconds > 1.0
    assert again.best is not None and again.best.low <= again.best.speedup <= again.best.high
    assert set(again.utilisation) == {"cpu-0", "cpu-1"} or len(os.sched_getaffinity(0)) != 2
    assert again.seconds["validate"]["queue"] >= 0.0 and again.seconds["profile"]


def test_the_report_can_be_written_again(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out, _ = finished
    assert specgen("report", "--events", out / "events.jsonl", "--out", tmp_path / "again").returncode == 0
    for name in ("report.md", "summary.json", "events.jsonl"):
        assert (tmp_path / "again" / name).read_text() == (out / name).read_text()


def test_the_resolved_configuration_holds_no_token(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, _ = finished
    token = json.loads((out / "state" / "identity.json").read_text())["token"]
    for path in [out / "specgen.toml", out / "report.md", out / "events.jsonl", *(out / "logs").glob("*.log")]:
        assert token not in path.read_text()


def test_an_interrupt_ends_everything(tmp_path: Path) -> None:
    task, recording = write_recording(tmp_path, ITERATIONS, rate=40)
    command = [sys.executable, "-m", "common.cli", "run", task, "--replay", recording, "--out", tmp_path / "out"]
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    assert process.stdout is not None
    for line in process.stdout:
        if "fork f1" in line:
            break
    started = list(descendants(process.pid))
    assert len(started) >= 7
    process.send_signal(signal.SIGINT)
    assert f"what it found: {tmp_path / 'out' / 'report.md'}" in process.stdout.read()
    assert process.wait(60) == 130
    time.sleep(0.2)
    assert alive(started) == []
    assert summarise(event_file.read(tmp_path / "out" / "events.jsonl")).reason == "cancelled"


@pytest.mark.parametrize(
    ("source", "flags", "says"),
    [
        ("x = 1\n", [], "no class Model"),
        ("def broken(:\n", [], "not valid Python, line 1"),
        (TASK, ["--iterations", "0"], "--iterations is 0: a budget must be more than zero"),
        (TASK, ["--max-seconds", "0"], "--max-seconds is 0"),
        (TASK, ["--max-seconds", "nan"], "--max-seconds is nan"),
        (TASK, ["--max-tokens", "-5"], "--max-tokens is -5"),
        (TASK, ["--drain-seconds", "nan", "--replay", "r"], "--drain-seconds is nan"),
        (TASK, ["--llm", "http://127.0.0.1:9"], "no endpoint answers at http://127.0.0.1:9"),
        (TASK, ["--llm", "127.0.0.1:9"], "is no address"),
        (TASK, [], "name one model"),
        (TASK, ["--llm", "http://h", "--replay", "r"], "name one model"),
        (TASK, ["--replay", "nowhere"], "nowhere"),
        (TASK, ["--llm", "http://h", "--rat", "x"], "unrecognized arguments"),
    ],
)
def test_unusable_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, source: str, flags: list[str], says: str
) -> None:
    (tmp_path / "task.py").write_text(source)
    if not flags or flags[0] in ("--iterations", "--max-seconds", "--max-tokens"):
        flags = [*flags, *(["--replay", "r"] if source != TASK or flags else [])]
    done = specgen("run", tmp_path / "task.py", *flags, "--out", tmp_path / "out", XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 2
    assert says in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "out").exists()
