"""The numerics alone over the kept kernels that need no compiler; the whole judge runs them all in tests/kernels."""
from __future__ import annotations

from functools import cache

import pytest

from common.judge.check import Expected, Finding, policy_for, to_feedback
from tests.check.helpers import task
from tests.kernels.corpus import Kernel, kernels
from tests.kernels.inprocess import findings, usable_cases

NEEDS_THE_JUDGE = ("result_in_a_kept_buffer", "writes_into_its_input")


@cache
def references(name: str) -> list[Expected]:
    return usable_cases(task(name), policy_for("fp32"))


def compiled(kernel: Kernel) -> bool:
    return "load_inline" in kernel.source


@pytest.mark.parametrize("kernel", [k for k in kernels("honest", "cpu") if not compiled(k)], ids=lambda k: k.name)
def test_honest_kernels_are_right(kernel: Kernel) -> None:
    assert list(findings(kernel.source, references(kernel.task), policy_for(kernel.precision))) == []


@pytest.mark.parametrize(
    "kernel", [k for k in kernels("wrong", "cpu") if not compiled(k) and not k.name.endswith(NEEDS_THE_JUDGE)],
    ids=lambda k: k.name,
)
def test_wrong_kernels_are_caught_and_told_why(kernel: Kernel) -> None:
    first = next(findings(kernel.source, references(kernel.task), policy_for(kernel.precision)))
    assert isinstance(first, Finding)
    assert first.outcome in kernel.outcomes
    feedback = to_feedback(first, kernel.source)
    assert kernel.says in f"{feedback.summary} {feedback.cause}"
