"""The plan of cases and the inputs they stand for."""
from __future__ import annotations

import itertools

import pytest
import torch

from common.judge.check import (
    CaseUnusable,
    flatten,
    fresh_case,
    load_task,
    make_init_inputs,
    make_inputs,
    plan_cases,
)
from common.judge.check.cases import derive
from common.judge.check.inputs import build_model, other_count
from tests.check.helpers import SECRET, STRICT, case, expect, task, written
from tests.kernels.corpus import ROOT

TASKS = sorted(path.stem for path in (ROOT / "tasks").glob("*.py"))


@pytest.mark.parametrize("name", TASKS)
def test_every_task_gets_many_seeds_and_each_kind_of_input(name: str) -> None:
    cases = plan_cases(task(name), secret=SECRET)
    assert len({item.seed for item in cases}) >= 5
    assert len({item.weight_seed for item in cases}) >= 3
    assert {item.kind for item in cases} >= {"own", "normal", "scaled", "large", "small", "negative", "sparse"}
    assert {item.layout for item in cases} == {"own", "sliced", "strided"}
    assert any(item.edits for item in cases)
    assert any(item.held_out and expect(task(name), item.name).usable for item in cases)
    assert len({item.name for item in cases}) == len(cases)


def test_cases_of_one_weight_seed_stand_together() -> None:
    seeds = [item.weight_seed for item in plan_cases(task("linear_gelu"), secret=SECRET) if not item.constants]
    changes = sum(a != b for a, b in itertools.pairwise(seeds))
    assert changes == len(set(seeds)) - 1


def test_seeds_follow_from_the_secret_and_from_nothing_else() -> None:
    one, other = (plan_cases(task("softmax"), secret=bytes([i]) * 32) for i in (1, 2))
    assert plan_cases(task("softmax"), secret=b"\1" * 32) == one
    assert not {item.seed for item in one} & {item.seed for item in other}
    assert derive(b"x", "a") != derive(b"x", "b")
    assert 0 <= derive(b"x", "a") < 2**63


def test_timed_inputs_are_fresh_and_of_the_first_weights() -> None:
    first, second = fresh_case(SECRET, 0), fresh_case(SECRET, 1)
    of = task("linear_gelu")
    assert not torch.equal(make_inputs(of, first, "cpu")[0], make_inputs(of, second, "cpu")[0])
    assert first.weight_seed == case(of).weight_seed


@pytest.mark.parametrize("name", TASKS)
def test_the_same_case_gives_the_same_inputs(name: str) -> None:
    of = task(name)
    for item in plan_cases(of, secret=SECRET):
        try:
            one, two = (flatten(make_inputs(of, item, "cpu"))[1] for _ in range(2))
        except CaseUnusable:
            continue
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    make_inputs(task("gated"), case(task("gated")), "cpu")
    build_model(task("linear_gelu"), case(task("linear_gelu")), "cpu")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("normal", lambda x: -0.2 < x.mean() < 0.2 and 0.8 < x.std() < 1.2),
        ("scaled", lambda x: x.min() >= 0 and 900 < x.max() <= 1000),
        ("large", lambda x: x.min() < -1000 and x.max() > 1000),
        ("small", lambda x: x.min() >= 0 and x.max() <= 1e-3),
        ("negative", lambda x: x.max() < 0),
        ("sparse", lambda x: (x == 0).float().mean() > 0.8 and (x == 0).all(1).any() and x.any()),
        ("integers", lambda x: torch.equal(x, x.round()) and x.abs().max() <= 4),
    ],
)
def test_each_kind_is_what_it_says(kind: str, holds: object) -> None:
    of = task("softmax")
    assert holds(make_inputs(of, case(of, kind), "cpu")[0])  # type: ignore[operator]


@pytest.mark.parametrize("layout", ["sliced", "strided"])
@pytest.mark.parametrize("name", ["gated", "conv_relu", "loss", "attention"])
def test_layouts_are_not_contiguous(name: str, layout: str) -> None:
    of = task(name)
    tensors = make_inputs(of, case(of, layout), "cpu")
    assert all(not tensor.is_contiguous() for tensor in tensors)


def test_storage_gaps_of_a_slice_hold_other_values() -> None:
    of = task("softmax")
    sliced = make_inputs(of, case(of, "sliced"), "cpu")[0]
    rows, columns = sliced.shape
    whole = sliced.as_strided((rows, columns + 1), (sliced.stride(0), 1))
    assert whole[:, columns].any()


def test_a_slice_of_large_rows_spans_hardly_more_than_they_do() -> None:
    """Offsets of 32 bits that do for the task's own inputs do for it."""
    of = load_task("""
import torch
class Model(torch.nn.Module):
    def forward(self, x): return x
def get_inputs(): return [torch.rand(16, 2**20)]
def get_init_inputs(): return []
""")
    (sliced,) = make_inputs(of, case(of, "sliced"), "cpu")
    assert sliced.stride(0) < 1.001 * sliced.shape[1]


def test_edits_change_a_few_elements_and_keep_range_and_shape() -> None:
    for name in TASKS:
        of = task(name)
        before, after = (flatten(make_inputs(of, case(of, item), "cpu"))[1] for item in ("own", "edited"))
        changed = [int((a != b).sum()) for a, b in zip(before, after, strict=True)]
        assert any(changed), name
        assert all(count <= max(8, tensor.shape[-1] * 2) for count, tensor in zip(changed, before, strict=True)), name
        assert all(float(b.max()) <= float(a.max()) for a, b in zip(before, after, strict=True)), name


def test_structure_of_the_inputs_is_kept() -> None:
    symmetric = written("return x @ x", "[(lambda a: a + a.T)(torch.rand(24, 24))]")
    shares = written("return -(y * x.log()).sum(1)", "[torch.rand(8, 16) + 0.1, torch.softmax(torch.rand(8, 16), -1)]",
                     parameters="x, y")
    for kind in ("normal", "large", "negative", "sparse", "integers", "edited"):
        lower = make_inputs(task("triangular"), case(task("triangular"), kind), "cpu")[0]
        assert not torch.triu(lower, 1).any()
        square = make_inputs(symmetric, case(symmetric, kind), "cpu")[0]
        assert torch.equal(square, square.T)
        weights = make_inputs(shares, case(shares, kind), "cpu")[1]
        assert torch.allclose(weights.sum(-1), torch.ones(8), atol=1e-3)
        labels = make_inputs(task("loss"), case(task("loss"), kind), "cpu")[1]
        assert labels.dtype == torch.int64 and labels.min() >= 0 and labels.max() < 100


def test_rows_change_together_or_the_first_alone() -> None:
    gated, product = task("gated"), task("matmul")
    assert [tuple(x.shape) for x in make_inputs(gated, case(gated, "fewer-rows"), "cpu")] == [(33, 256)] * 2
    assert [tuple(x.shape) for x in make_inputs(gated, case(gated, "more-rows"), "cpu")] == [(81, 256)] * 2
    assert [tuple(x.shape) for x in make_inputs(product, case(product, "more-rows"), "cpu")] == [(121, 512), (512, 80)]


def test_a_square_product_changes_its_first_factor_alone() -> None:
    square = written("return x @ y", "[torch.rand(16, 16), torch.rand(16, 16)]", parameters="x, y")
    shapes = [tuple(x.shape) for x in make_inputs(square, case(square, "more-rows"), "cpu")]
    assert shapes == [(21, 16), (16, 16)]


@pytest.mark.parametrize(("count", "fewer", "more"), [(64, 33, 81), (3, 1, 4), (2, 1, 3), (7, 3, 9)])
def test_other_row_counts(count: int, fewer: int, more: int) -> None:
    assert (other_count(count, "fewer"), other_count(count, "more")) == (fewer, more)


def test_one_row_cannot_become_fewer() -> None:
    assert other_count(1, "more") == 2
    with pytest.raises(CaseUnusable):
        other_count(1, "fewer")


def test_constants_give_other_shapes_with_their_own_arguments() -> None:
    of = task("linear_gelu")
    item = next(item for item in plan_cases(of, secret=SECRET) if dict(item.constants).get("wide"))
    width = dict(item.constants)["wide"]
    assert make_inputs(of, item, "cpu")[0].shape == (64, width)
    assert make_init_inputs(of, item)[0] == width
    assert (item.on_wrong, item.label) == ("label", "shape_specialised")


def test_a_task_that_accepts_no_other_shape_has_no_held_out_case() -> None:
    fixed = written("return x.view(8, 16) * 2", "[torch.rand(8, 16)]")
    assert not any(expect(fixed, item.name).usable for item in plan_cases(fixed, secret=SECRET) if item.held_out)


def test_a_task_drawn_with_a_host_generator_is_drawn_too() -> None:
    inputs = "[torch.rand(4, 4, generator=torch.Generator().manual_seed(1)), 3.5]"
    of = written("return x * k", inputs, parameters="x, k")
    assert make_inputs(of, case(of), "cpu")[1] == 3.5
    assert expect(of, policy=STRICT).usable


def test_weights_follow_the_weight_seed() -> None:
    of = task("linear_gelu")
    names = ("own", "normal", "other-weights")
    one, same, other = (build_model(of, case(of, name), "cpu").linear.weight for name in names)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
