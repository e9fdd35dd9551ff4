"""A task file is checked without running it."""
from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UsageError
from common.task import read_task, task_name, task_problem

GOOD = """\
class Model:
    def forward(self, x): return x
def get_inputs(): return []
def get_init_inputs(): return []
"""


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (GOOD, None),
        (GOOD.replace("class Model", "class Net"), "no class Model"),
        (GOOD.replace("forward", "call"), "no forward method"),
        (GOOD.replace("get_inputs", "inputs"), "no function get_inputs"),
        (GOOD.replace("get_init_inputs", "init"), "no function get_init_inputs"),
        ("def broken(:\n", "not valid Python, line 1"),
        ("x = '\0'", "not valid Python"),
        ("", "no class Model"),
    ],
)
def test_what_keeps_a_file_from_being_a_task(source: str, problem: str | None) -> None:
    found = task_problem(source)
    assert found is None if problem is None else found is not None and problem in found


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    for name, data in (("binary.py", b"\xff\xfe"), ("huge.py", b"#" * (256 * 1024 + 1))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=name):
            read_task(tmp_path / name)
    with pytest.raises(UsageError, match=r"cannot read .*missing\.py"):
        read_task(tmp_path / "missing.py")
    with pytest.raises(UsageError, match="precision"):
        read_task(tmp_path / "missing.py", precision="fp8")


def test_reading_a_task_runs_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "my task.v2.py"
    path.write_text(GOOD + "raise SystemExit('ran')\n")
    assert read_task(path).name == "my-task-v2"
    assert task_name(tmp_path / "rbf" / "task.py") == "rbf"
