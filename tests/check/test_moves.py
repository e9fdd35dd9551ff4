"""What a tiny move tips over: found where it lies close beside a threshold, and not granted where it does not."""
from __future__ import annotations

import sys

import pytest
import torch
from msgspec import structs

from common.judge.check import reference
from common.judge.check.moves import move
from common.judge.check.reference import Expected
from tests.check.helpers import STRICT, case, eager, expect, judge, task, written

CLOSE = 1.5
"""Units in the last place between a value and its threshold that two roundings may bridge."""


def missed(seed: int, *, closer: bool) -> int:
    """Of 4,000 pairs of numbers CLOSE units apart: for how many no move finds that either may be the larger."""
    of = written(
        f"return torch.where(x[:, 0] > x[:, 1] * {1 - CLOSE * 2**-23!r}, 1.0, 0.0)",
        f"[(torch.rand(4000, 1, generator=torch.Generator().manual_seed({seed})) + 1).expand(4000, 2).contiguous()]",
    )
    expected = expect(of, "own")
    spread = expected.closer if closer else expected.spread
    return int((spread[0] == 0).sum())


def test_moves_in_pairs_find_most_of_what_is_near_and_a_closer_look_nearly_all() -> None:
    first, closer = missed(1, closer=False), missed(1, closer=True)
    assert 60 <= first <= 200, "one of 30: pairs that are both smaller than the distance"
    assert closer <= 2


def test_of_a_large_result_no_closer_look_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = (expect(task("softmax")) for _ in range(2))
    first, noise = large.spread[0].clone(), small.noise
    monkeypatch.setattr(sys.modules[Expected.__module__], "_LARGE", large.nbytes - 1)
    assert torch.equal(large.closer[0], first), "what the first moves found takes room as well"
    monkeypatch.setattr(sys.modules[Expected.__module__], "_LARGE", large.nbytes)
    assert (small.closer[0] >= first).all() and (small.closer[0] > first).any()
    assert small.noise == noise, "the unit of error stays that of the first moves"


def test_the_second_of_a_pair_goes_as_far_the_other_way() -> None:
    x = torch.rand(100) + 1
    there, back = move(x, 7) - x.double(), move(x, 7, back=True) - x.double()
    assert torch.allclose(there, -back, rtol=1e-6, atol=0) and there.abs().max() > 4 * 2**-23
    assert torch.equal(move(torch.arange(3), 7), torch.arange(3))


@pytest.mark.parametrize(("level", "wrong"), [("torch.round(x)", 3.0), ("x > 0.5", True)])
def test_one_value_tipped_over_is_nobodys_fault_and_one_that_lies_far_from_a_threshold_is_wrong(
    level: str, wrong: float
) -> None:
    """A kernel that multiplies with a reciprocal where eager divides: one of 4,000 values is a whole level away, while
    eager has no error at all."""
    near = 0.5 * (1 - 2 * CLOSE * 2**-24)
    of = written(f"return {level}", f"[torch.cat([torch.full((1,), {near!r}), torch.rand(3999) * 0.3 + 0.1])]")
    for seed in range(60):
        expected = reference(of, structs.replace(case(of), seed=seed), "cpu", STRICT)
        values = eager(expected)
        values[0] = 1
        assert judge(expected, values) is None, f"seed {seed}"
        values[1] = wrong
        assert judge(expected, values) is not None, f"seed {seed}"
