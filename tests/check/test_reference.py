"""The reference: fp64 whatever the task's code says, eager's own error, and what cannot be had."""
from __future__ import annotations

import math
import weakref
from collections.abc import Callable

import pytest
import torch

from common.judge.check import TaskProblem, plan_cases, reference
from common.judge.check.measure import finite_share, rms, rms_beyond, rms_difference
from common.judge.check.reference import Expected, if_room, run_wide
from common.judge.check.sums import SumLengths
from common.judge.check.widen import round_mantissa
from common.judge.shortage import shortage
from tests.check.helpers import SECRET, STRICT, case, expect, task, written


@pytest.mark.parametrize(
    "body",
    [
        "return (x.float() @ x.t().float()).softmax(-1)",
        "return x.to(torch.float32).cumsum(1)",
        "return torch.zeros(x.shape, dtype=torch.float32).add_(x).exp()",
        "y = torch.empty_like(x); y[:] = x; y[0] += 1; return y.sqrt()",
        "return torch.full((16, 16), 0.1) * x",
        "return torch.sum(x, dim=1, dtype=torch.float32) / 3",
        "return x.half().float() * 0.1",
        "return torch.stack([x, x * 0.1]).mean(0)",
        "return self.table[:, :16] @ x",
    ],
)
def test_fp64_is_fp64_whatever_dtypes_the_code_names(body: str) -> None:
    of = written(body, "[torch.rand(16, 16)]", init="self.table = torch.rand(16, 32)")
    expected = expect(of)
    assert expected.widened
    assert expected.exact[0].dtype == torch.float64
    assert expected.scales[0].eager > 0
    low_bits = expected.exact[0].view(torch.int64) & 0x1FFFFFFF
    assert low_bits.any(), "an fp64 result has bits that fp32 has not"


def test_eagers_error_is_of_the_size_of_its_dtype() -> None:
    expected = expect(task("matmul"))
    relative = expected.scales[0].eager / expected.scales[0].value
    assert 2**-26 < relative < 2**-20


def test_what_has_no_fp64_falls_back_to_eager_with_an_assumed_error() -> None:
    broken = written("return (x if x.dtype == torch.float32 else 1 / 0) * 0.1", "[torch.rand(8, 8)]")
    expected = expect(broken)
    assert expected.widened is False
    assert torch.equal(expected.exact[0], expected.eager[0].double())
    assert expected.noise[0] > 0


def test_a_model_is_run_on_copies() -> None:
    of = written("x.zero_(); return x + 1", "[torch.rand(8, 8)]")
    expected = expect(of)
    assert torch.equal(expected.eager[0], torch.ones(8, 8))
    statistics = task("batch_norm")
    assert torch.equal(expect(statistics).eager[0], expect(statistics).eager[0])


def test_outputs_of_every_kind_are_held() -> None:
    expected = expect(task("row_stats"))
    assert expected.spec == "{'mean':T,'above':T,'count':T}"
    assert [leaf.dtype for leaf in expected.eager] == [torch.float32, torch.bool, torch.int64]
    assert [scale is None for scale in expected.scales] == [False, True, True]


def test_a_case_mostly_not_finite_is_left_out() -> None:
    of = written("return torch.log(x)", "[torch.rand(8, 8) + 0.5]")
    assert expect(of, "own").usable
    assert "finite" in expect(of, "negative").unusable


def test_a_model_that_fails_on_its_own_inputs_is_a_task_problem() -> None:
    of = written("return x @ torch.rand(3, 3)", "[torch.rand(8, 8)]")
    with pytest.raises(TaskProblem, match="does not run"):
        reference(of, case(of), "cpu", STRICT)


def test_a_model_that_returns_an_object_is_a_task_problem() -> None:
    of = written("return object()", "[torch.rand(8, 8)]")
    with pytest.raises(TaskProblem, match="cannot be compared"):
        reference(of, case(of), "cpu", STRICT)


def test_noise_of_an_exact_operation_is_about_one_rounding() -> None:
    expected = expect(task("transpose"))
    assert expected.scales[0].eager == 0
    relative = expected.noise[0] / expected.scales[0].value
    assert 2**-27 < relative < 2**-22


def test_spread_finds_values_near_a_threshold() -> None:
    near = torch.nextafter(torch.tensor(0.5), torch.tensor(1.0)).item()
    of = written("return torch.round(x)", f"[torch.cat([torch.full((1, 8), {near!r}), torch.rand(1, 8) * 0.2 + 0.7])]")
    spread = expect(of).spread[0]
    assert (spread[0] == 1).all()
    assert not spread[1].any()


def test_spread_is_found_whatever_the_layout_of_the_result() -> None:
    laid_out = expect(written("return (x * 2).permute(0, 2, 3, 1)", "[torch.rand(2, 3, 4, 5)]"))
    assert not laid_out.exact[0].is_contiguous() and laid_out.spread[0].all()


def test_moves_are_made_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large task's device has no room for the results of two."""
    expected, moves = expect(task("softmax")), list[weakref.ref[torch.Tensor]]()
    run = Expected._moved

    def alone(self: Expected, draw: int) -> tuple[torch.Tensor, ...] | None:
        assert not any(there() is not None for there in moves)
        leaves = run(self, draw)
        assert leaves is not None
        moves.append(weakref.ref(leaves[0]))
        return leaves

    monkeypatch.setattr(Expected, "_moved", alone)
    assert expected.spread[0].all() and len(moves) == 4


@pytest.mark.parametrize(
    ("name", "length"),
    [("gated", 1), ("softmax", 384), ("layer_norm", 320), ("row_sum", 4096), ("matmul", 512), ("linear_gelu", 256),
     ("conv_relu", 72), ("scan", 512), ("transpose", 1), ("row_max", 1), ("attention", 32), ("batch_norm", 800)],
)
def test_the_longest_sum_of_a_task(name: str, length: int) -> None:
    assert expect(task(name)).longest_sum == length


def test_sums_are_watched_inside_modules() -> None:
    with SumLengths() as sums, torch.no_grad():
        torch.nn.ConvTranspose2d(6, 4, 3)(torch.rand(2, 6, 5, 5))
        torch.nn.AvgPool2d(2)(torch.rand(2, 6, 6, 6))
        torch.einsum("ij,jk->ik", torch.rand(4, 90), torch.rand(90, 4))
    assert sums.longest == 90


def test_norms_do_not_overflow_and_skip_what_is_not_finite() -> None:
    assert rms(torch.tensor([3.0, 4.0], dtype=torch.float64) * 1e200) == pytest.approx(math.sqrt(12.5) * 1e200)
    assert rms_difference(torch.tensor([1.0, math.inf, 3.0]), torch.tensor([0.0, 1.0, math.nan])) == 1.0
    assert rms(torch.empty(0)) == 0
    assert rms_beyond(torch.tensor([1.0, 5.0]), torch.zeros(2), torch.ones(2)) == pytest.approx(5 / math.sqrt(2))
    assert rms(torch.tensor([3 + 4j])) == pytest.approx(math.sqrt(12.5))
    assert finite_share(torch.tensor([1.0, math.nan])) == 0.5
    assert finite_share(torch.tensor([1, 2])) == 1.0


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16])
def test_short_floats_are_measured_in_fp64(dtype: torch.dtype) -> None:
    values = torch.tensor([3.0, 4.0]).to(dtype)
    assert (rms(values), finite_share(values)) == (pytest.approx(math.sqrt(12.5)), 1.0)
    assert rms_difference(values, values.double() + 1) == rms_difference(values.double() + 1, values) == 1.0


def test_large_tensors_are_measured_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.rand(1000)
    whole = rms(values)
    monkeypatch.setattr("common.judge.check.measure.PIECE", 7)
    assert rms(values) == pytest.approx(whole)


@pytest.mark.parametrize(("bits", "dtype"), [(7, torch.bfloat16), (10, torch.float16), (23, torch.float32)])
def test_rounding_to_a_mantissa_is_that_dtypes_rounding(bits: int, dtype: torch.dtype) -> None:
    """Shorter ones are made from float32, since torch goes by way of it, which would round twice."""
    values = torch.rand(4000, dtype=torch.float64 if dtype is torch.float32 else torch.float32) * 100 + 1e-2
    values = values.double()
    assert torch.equal(round_mantissa(values, bits), values.to(dtype).double())
    assert (round_mantissa(values, bits, cut=True) <= values).all()


def test_rounding_keeps_what_is_not_finite() -> None:
    values = torch.tensor([math.inf, -math.inf, math.nan, 0.0], dtype=torch.float64)
    assert torch.equal(round_mantissa(values, 7)[[0, 1, 3]], values[[0, 1, 3]])
    assert round_mantissa(values, 7)[2].isnan()


def test_rounded_runs_differ_from_exact_ones() -> None:
    of = task("linear_gelu")
    model, inputs = of.module.Model(32, 8), [torch.rand(4, 32)]
    exact, low, lower = (run_wide(model, inputs, name, everywhere=True) for name in (None, "tf32", "bf16"))
    assert exact and low and lower
    assert 0 < rms_difference(low[0], exact[0]) < rms_difference(lower[0], exact[0])


def test_every_usable_case_finds_eager_itself_right() -> None:
    for name in ("softmax", "row_stats", "matmul_half", "quantise"):
        of = task(name)
        for item in plan_cases(of, secret=SECRET):
            expected = reference(of, item, "cpu", STRICT)
            assert expected.usable or expected.unusable


def _full() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


class Full(torch.nn.Module):
    def forward(self) -> None:
        _full()


@pytest.mark.parametrize("compute", [lambda: if_room(_full), lambda: run_wide(Full(), [])])
def test_what_is_gone_without_for_want_of_memory_is_noted(compute: Callable[[], object]) -> None:
    shortage.begin()
    assert compute() is None
    assert shortage.met and shortage.own
