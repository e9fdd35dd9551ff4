"""fast_p over runs: each task once, by its best."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.fast_p import fast_p, main


def run(folder: Path, task: str, speedup: float | None) -> str:
    folder.mkdir()
    best = None if speedup is None else {"speedup": speedup}
    (folder / "summary.json").write_text(json.dumps({"task": task, "best": best}))
    return str(folder)


def test_each_task_counts_once_by_its_best_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [
        run(tmp_path / "1", "a", 0.8), run(tmp_path / "2", "a", 1.7), run(tmp_path / "3", "b", 2.5),
        run(tmp_path / "4", "c", None), run(tmp_path / "5", "d", 1.0),
    ]
    assert main([*folders, "--p", "0", "1", "2"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "tasks": {"a": 1.7, "b": 2.5, "c": 0.0, "d": 1.0}, "fast_p": {"0": 0.75, "1": 0.5, "2": 0.25}
    }


def test_no_task_and_no_run_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no task"):
        fast_p({}, 1.0)
    assert main([str(tmp_path)]) == 2 and "is no folder of a run" in capsys.readouterr().err
