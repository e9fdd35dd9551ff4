"""Loading tasks: what is one, what is not, and the constants that make another shape of it."""
from __future__ import annotations

import sys

import pytest
import torch

from common.errors import UsageError
from common.judge.check import TaskProblem, load_task
from tests.check.helpers import task
from tests.kernels.corpus import task_source


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def (", "not Python: line 1"),
        ("x = 1\0", "not Python"),
        ("import torch\nclass Model: pass", "no get_inputs and no get_init_inputs"),
        ("raise OSError('no disk')", "does not run: OSError: no disk"),
        ("import no_such_module_here", "does not run: ModuleNotFoundError"),
        ("raise SystemExit(3)", "does not run: SystemExit"),
        ("Model = get_inputs = get_init_inputs = 1", "defines no Model"),
        ("", "defines no Model"),
    ],
)
def test_what_is_no_task_is_told_in_one_line(source: str, words: str) -> None:
    with pytest.raises(TaskProblem, match=words) as caught:
        load_task(source)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_integers_of_the_module_level_are_found() -> None:
    source = "a = 16\nb = 2048 * 2\nc = 1.5\nd = True\ne = a\nf = 7\nf = 8\ng = 2 ** 4\nh = 'x'\nj = -1\n"
    found = load_task(source + task_source("softmax")).constants
    assert {name: found[name] for name in ("a", "b", "g")} == {"a": 16, "b": 4096, "g": 16}
    assert not {"c", "d", "e", "f", "h", "j"} & set(found)


def test_constants_replace_what_the_source_sets() -> None:
    changed = load_task(task_source("linear_gelu"), constants={"wide": 12, "rows": 5})
    assert changed.module.get_inputs()[0].shape == (5, 12)
    assert changed.module.get_init_inputs() == [12, 128]
    assert task("linear_gelu").module.get_inputs()[0].shape == (64, 256)


def test_a_failing_variant_leaves_no_module_behind() -> None:
    before = set(sys.modules)
    with pytest.raises(TaskProblem):
        load_task("import torch\nraise ValueError('x')")
    assert set(sys.modules) == before


def test_source_lines_are_known_so_that_torchscript_can_read_them() -> None:
    source = task_source("softmax") + "\n\ndef double(x: torch.Tensor) -> torch.Tensor:\n    return x * 2\n"
    scripted = torch.jit.script(load_task(source).module.double)
    assert torch.equal(scripted(torch.ones(2)), torch.full((2,), 2.0))
