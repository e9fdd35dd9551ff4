"""Weights that are drawn otherwise than the task's are named as the cause of a wrong result."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from common.devices import Device
from common.judge import Judge
from common.judge.protocol import Weight
from common.judge.weights import drawn_otherwise, weigh
from common.messages import Outcome, TaskSource
from tests.judge.sources import candidate
from tests.judge.test_path import judged


class Plain:
    """A model that is no module."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.kept, self.size, self.whole = weight, 3, torch.arange(3)


def layer(seed: int = 1, kind: type[nn.Module] = nn.Linear, **more: object) -> nn.Module:
    torch.manual_seed(seed)
    return kind(64, 48, **more)


def test_copies_are_the_same_whatever_their_form() -> None:
    model = nn.Sequential(layer(), nn.LayerNorm(48), nn.BatchNorm1d(48))
    ours = weigh(model)
    assert [w.name for w in ours][:3] == ["0.weight", "0.bias", "1.weight"]
    assert (ours[0].shape, ours[0].values) == ((48, 64), 3072)
    assert drawn_otherwise(ours, ours) == ""
    turned = layer().weight.detach().T.contiguous()
    assert drawn_otherwise(weigh(layer(bias=False)), weigh(Plain(turned))) == ""
    assert drawn_otherwise(weigh(layer(bias=False)), weigh(Plain(turned.reshape(-1).bfloat16()))) == ""


def test_other_drawings_are_told() -> None:
    ours = weigh(layer())
    assert "`bias` differs from Model's `bias`" in drawn_otherwise(ours, weigh(layer(2)))
    torch.manual_seed(1)
    assert "`kept` differs from Model's `weight`" in drawn_otherwise(ours, weigh(Plain(torch.randn(48, 64))))


def test_what_counts_is_what_was_drawn() -> None:
    """Another module may draw the same values from the same seed."""
    assert drawn_otherwise(weigh(layer(bias=False)), weigh(layer(kind=nn.Bilinear, out_features=1, bias=False))) == ""


def test_one_that_is_missing_may_be_combined_with_others() -> None:
    assert drawn_otherwise(weigh(layer()), ()) == ""
    [fused] = weigh(Plain(torch.randn(3120)))
    assert drawn_otherwise(weigh(layer()), [fused]) == ""


def test_what_a_candidate_says_is_only_quoted() -> None:
    odd = Weight(name="x" * 500, shape=(), values=3072, mean=float("nan"), size=float("inf"), spread=0.0)
    said = drawn_otherwise(weigh(layer()), [odd])
    assert "`" + "x" * 80 + "`" in said and "x" * 81 not in said


@pytest.mark.asyncio(loop_scope="module")
async def test_the_feedback_of_a_wrong_result_names_them(judge: Judge, small: TaskSource, device: Device) -> None:
    forward = "return torch.relu(x * self.weight + 0.5) * 2.0 - x"
    init = "self.weight = nn.Parameter(torch.rand(features))"
    drawn = await judged(judge, small, device, candidate(forward, init=init))
    assert drawn.outcome is Outcome.WRONG_VALUES
    assert "`weight` differs from Model's `weight`" in drawn.feedback.cause
    wrong = await judged(judge, small, device, candidate(forward.replace("0.5", "0.4")))
    assert wrong.outcome is Outcome.WRONG_VALUES and "weights" not in wrong.feedback.cause


@pytest.mark.asyncio(loop_scope="module")
async def test_a_process_that_ends_instead_changes_nothing(judge: Judge, small: TaskSource, device: Device) -> None:
    init = "import os\n        type(self).named_modules = lambda self, *a, **k: os._exit(3)"
    verdict = await judged(judge, small, device, candidate("return x * 3", init=init))
    assert verdict.outcome is Outcome.WRONG_VALUES and verdict.feedback.cause
