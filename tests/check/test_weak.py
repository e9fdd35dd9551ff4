"""Tasks that cannot tell right from wrong are rejected, the others are not."""
from __future__ import annotations

import pytest

from common.judge.check import check_task, load_task
from tests.check.helpers import SECRET, STRICT, task, written
from tests.kernels.corpus import ROOT, unfit_tasks


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "tasks").glob("*.py")))
def test_the_kept_tasks_are_fit(name: str) -> None:
    assert check_task(task(name), "cpu", STRICT, secret=SECRET) is None


@pytest.mark.parametrize("name", sorted(unfit_tasks()))
def test_unfit_tasks_are_rejected_for_their_reason(name: str) -> None:
    source, words = unfit_tasks()[name]
    reason = check_task(load_task(source), "cpu", STRICT, secret=SECRET)
    assert reason is not None and words in reason


@pytest.mark.parametrize(
    ("body", "inputs", "words"),
    [
        ("return x", "3", "must return a list"),
        ("return x", "[object()]", "get_inputs(): a value of type object"),
        ("return torch.zeros(4)", "[torch.rand(4, 4)]", "does not depend"),
        ("return x[:0]", "[torch.rand(4, 4)]", "no tensor with elements"),
        ("return torch.rand_like(x)", "[torch.rand(4, 4)]", "two runs on equal inputs differ"),
        ("return (x > 2).sum(1)", "[torch.rand(4, 4)]", None),
        ("return x * 1e-30", "[torch.rand(4, 4)]", None),
        ("return x.mean()", "[torch.rand(1000, 1000)]", None),
    ],
)
def test_other_tasks(body: str, inputs: str, words: str | None) -> None:
    reason = check_task(written(body, inputs), "cpu", STRICT, secret=SECRET)
    assert (reason is None) if words is None else (reason is not None and words in reason)
