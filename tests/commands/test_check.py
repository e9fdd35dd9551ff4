"""`specgen check` on one kernel: the verdict, the figure, and how both came about."""
from __future__ import annotations

from pathlib import Path

from common.commands.check import Checked, text
from tests.facts import judgement
from tests.pipeline.recordings import TASK, kernel
from tests.pipeline.test_run import specgen


def test_a_verdict_is_explained(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "right.py").write_text(kernel("passed", 1))
    done = specgen("check", tmp_path / "task.py", tmp_path / "right.py", "--explain")
    assert done.returncode == 0, done.stderr
    for words in ("passed:", "error against fp64", "own ", "its own clock", "under the roofline"):
        assert words in done.stdout


def test_a_wrong_kernel_exits_with_one(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "wrong.py").write_text(kernel("wrong_values", 1))
    done = specgen("check", tmp_path / "task.py", tmp_path / "wrong.py", "--explain")
    assert done.returncode == 1 and done.stdout.startswith("wrong_values:")


def test_what_is_measured_beside_the_figure_is_told(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "right.py").write_text(kernel("passed", 1))
    done = specgen(
        "check", tmp_path / "task.py", tmp_path / "right.py", "--explain", "--compile-baseline", "--counters"
    )
    assert done.returncode == 0, done.stderr
    assert "x eager" in done.stdout and "x of torch.compile in its default mode" in done.stdout
    assert "counters: absent, ncu" in done.stdout


def test_the_seconds_of_a_step_are_those_of_verdict_and_profile() -> None:
    both = Checked(
        verdict=judgement(seconds={"compile": 4.0, "task": 1.0}),
        profile=judgement(speedup=2.0, seconds={"task": 0.5, "time": 2.0}),
    )
    assert text(both).endswith("seconds: compile 4.00, task 1.50, time 2.00")
