"""What is wrong with an output, from its form to its last bits."""
from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from common.judge.check import CheckPolicy, Expected, Returned, build_model, compare, make_inputs, policy_for
from common.judge.check.compare import error_ratios
from common.judge.check.measure import rms, rms_difference
from common.judge.check.reference import Scale
from common.judge.check.widen import MANTISSA, round_mantissa
from common.messages import Outcome
from tests.check.helpers import STRICT, eager, expect, judge, task, written


@pytest.mark.parametrize("name", ["own", "normal", "large", "sparse", "sliced", "fewer-rows"])
@pytest.mark.parametrize("of", ["softmax", "row_stats", "row_max", "matmul_half", "loss", "transpose", "quantise"])
def test_eager_is_right(of: str, name: str) -> None:
    expected = expect(task(of), name)
    value = [Returned(leaf) for leaf in expected.eager]
    assert compare(expected, expected.spec, value, STRICT) is None


def test_fp64_rounded_to_the_dtype_is_right() -> None:
    for of in ("softmax", "matmul", "row_sum", "quantise", "linear_gelu"):
        expected = expect(task(of))
        assert judge(expected, expected.exact[0].float()) is None


@pytest.mark.parametrize(
    ("value", "outcome", "words"),
    [
        (lambda x: x.double(), Outcome.WRONG_DTYPE, "float64"),
        (lambda x: x.half(), Outcome.WRONG_DTYPE, "float16"),
        (lambda x: x[:-1], Outcome.WRONG_SHAPE, "(63, 384)"),
        (lambda x: x.flatten(), Outcome.WRONG_SHAPE, "(24576,)"),
        (lambda x: (x,), Outcome.WRONG_SHAPE, "returned (T)"),
        (lambda x: None, Outcome.WRONG_SHAPE, "NoneType"),
        (lambda x: 1.0, Outcome.WRONG_SHAPE, "float"),
        (lambda x: torch.zeros_like(x), Outcome.WRONG_VALUES, "times eager's"),
        (lambda x: torch.full_like(x, math.nan), Outcome.WRONG_VALUES, "are NaN"),
    ],
)
def test_form_comes_before_values(value: Any, outcome: Outcome, words: str) -> None:
    expected = expect(task("softmax"))
    finding = judge(expected, value(eager(expected)))
    assert finding is not None
    assert finding.outcome is outcome
    assert words in finding.what


@pytest.mark.parametrize(
    ("facts", "outcome", "words"),
    [
        ({"type_name": "LazyTensor"}, Outcome.CHEATED, "LazyTensor"),
        ({"device": "cuda"}, Outcome.RUNTIME_ERROR, "on cuda"),
        ({"overlap": "input"}, Outcome.WRONG_VALUES, "with an input"),
        ({"overlap": "earlier output"}, Outcome.WRONG_VALUES, "with an earlier output"),
        ({"overlap": "other output"}, Outcome.WRONG_VALUES, "with another output"),
    ],
)
def test_facts_of_the_candidates_tensor_count(facts: dict[str, Any], outcome: Outcome, words: str) -> None:
    expected = expect(task("softmax"))
    finding = judge(expected, eager(expected), **facts)
    assert finding is not None and finding.outcome is outcome
    assert words in finding.what


def test_a_parameter_and_a_right_device_are_plain_tensors() -> None:
    expected = expect(task("softmax"))
    assert judge(expected, eager(expected), type_name="Parameter", device="cpu") is None


def test_an_output_may_be_a_view_of_an_input_where_the_tasks_is() -> None:
    views = expect(written("return x.t()", "[torch.rand(8, 4)]"))
    assert views.aliases == (True,) and views.written == 0
    assert judge(views, eager(views), overlap="input") is None
    assert judge(views, eager(views), overlap="earlier output") is not None


def test_repeated_elements_are_written_once() -> None:
    repeated = expect(written("return (x + 1).expand(100, 8, 4)", "[torch.rand(8, 4)]"))
    assert repeated.aliases == (False,) and repeated.written == 4 * 8 * 4


def test_a_non_contiguous_result_is_right() -> None:
    expected = expect(task("matmul"))
    assert judge(expected, eager(expected).t().contiguous().t()) is None


@pytest.mark.parametrize("ulps", [1, 2])
def test_an_exact_operation_grants_little(ulps: int) -> None:
    expected = expect(task("transpose"), "normal")
    value = eager(expected)
    assert judge(expected, value * (1 + ulps * 2**-23)) is None
    assert judge(expected, value * (1 + 50 * 2**-23)) is not None


def test_one_wrong_value_among_many_is_found() -> None:
    for of in ("softmax", "matmul", "transpose", "quantise", "matmul_half"):
        expected = expect(task(of), "normal")
        value = eager(expected)
        value.view(-1)[137] += 0.5 * value.abs().max()
        finding = judge(expected, value)
        assert finding is not None and finding.outcome is Outcome.WRONG_VALUES, of
        place = torch.unravel_index(torch.tensor(137), value.shape)
        assert [d.index for d in finding.differences] == [tuple(int(i) for i in place)]


def test_a_sequential_sum_is_right_and_one_that_drops_values_is_not() -> None:
    expected = expect(task("row_sum"), "negative")
    row, x = torch.zeros(32), _inputs(expected)[0]
    for j in range(x.shape[1]):
        row += x[:, j]
    assert judge(expected, row) is None
    finding = judge(expected, x[:, :4090].sum(1))
    assert finding is not None and finding.ratio is not None and finding.ratio > 10_000


def _inputs(expected: Expected) -> list[torch.Tensor]:
    return make_inputs(expected.task, expected.case, "cpu")


@pytest.mark.parametrize(
    ("body", "right", "wrong"),
    [
        # eager overflows where the answer is finite: a better kernel may have the answer, or overflow as well
        ("return (x * 1e30).square().mean(1).sqrt() * 1e-30", [math.inf, 1.0], [math.nan, 5.0]),
        # the answer itself is infinite
        ("return 1 / (x[:, 0] * 0)", [math.inf], [math.nan, 1.0, -math.inf]),
        ("return x[:, 0] * 0 / (x[:, 0] * 0)", [math.nan], [math.inf, 0.0]),
    ],
)
def test_infinities_and_nan_belong_where_the_task_has_them(body: str, right: list[float], wrong: list[float]) -> None:
    policy = CheckPolicy(least_finite=0.0)
    expected = expect(written(body, "[torch.full((6, 4), 1.0) + torch.rand(6, 4) * 1e-9]"), policy=policy)
    for value in right:
        assert judge(expected, torch.full((6,), value), policy) is None, value
    for value in wrong:
        finding = judge(expected, torch.full((6,), value), policy)
        assert finding is not None and finding.outcome is Outcome.WRONG_VALUES, value


def test_a_value_at_the_edge_of_overflow_may_be_either() -> None:
    expected = expect(written("return x * 65500.0", "[torch.ones(4, 4).half()]"))
    assert torch.isfinite(expected.eager[0]).all()
    assert judge(expected, torch.full((4, 4), math.inf).half()) is None


@pytest.mark.parametrize("dtype", ["torch.int32", "torch.int64", "torch.uint8", "torch.bool"])
def test_integers_and_booleans_are_exact(dtype: str) -> None:
    expected = expect(written(f"return (x * 4).to({dtype})", "[torch.rand(16, 16)]"))
    value = eager(expected)
    assert judge(expected, value) is None
    value[3, 5] = not value[3, 5] if value.dtype == torch.bool else value[3, 5] + 1
    finding = judge(expected, value)
    assert finding is not None
    assert (finding.what, finding.differences[0].index) == ("1 of 256 values differ", (3, 5))


def test_an_integer_that_rounding_tips_over_may_be_either() -> None:
    """fp32 rounds some products up to whole numbers, fp64 does not."""
    expected = expect(written("return torch.floor(x * 10).long()", "[(torch.arange(1, 4097) * 0.1).view(64, 64)]"))
    disagree = expected.eager[0] != expected.exact[0]
    assert disagree.any()
    assert judge(expected, expected.exact[0].clone()) is None
    assert judge(expected, eager(expected)) is None
    assert judge(expected, eager(expected) + 1) is not None


def test_plain_numbers_are_compared_by_type_and_value() -> None:
    expected = expect(written("return x.mean(1), 3, float(x.sum()), 'word'", "[torch.rand(8, 8)]"))
    mean, _, total, _ = expected.eager
    assert judge(expected, (mean, 3, total, "word")) is None
    for number, other, word in ((4, total, "word"), (3, total * 1.1, "word"), (3, math.nan, "word"), (3, total, "x")):
        finding = judge(expected, (mean, number, other, word))
        assert finding is not None and finding.outcome is Outcome.WRONG_VALUES
    assert judge(expected, (mean, 3.0, total, "word")) is not None


def test_complex_outputs_are_measured_by_parts() -> None:
    expected = expect(written("return torch.fft.fft(x)", "[torch.rand(8, 16)]"))
    value = eager(expected)
    assert judge(expected, value) is None
    value[2, 3] += 1j
    finding = judge(expected, value)
    assert finding is not None and (2, 3, 1) in [d.index for d in finding.differences]


def test_half_results_are_asked_for_a_tighter_ratio() -> None:
    expected = expect(task("matmul_half"))
    step = expected.scales[0].eager
    assert STRICT.ratio_for(torch.float16) < STRICT.ratio_for(torch.float32)
    assert judge(expected, (expected.exact[0] + 20 * step).half()) is not None


def test_an_empty_result_is_right_when_it_is_empty() -> None:
    expected = expect(written("return x[:0], x * 2", "[torch.rand(4, 4)]"))
    assert judge(expected, (torch.empty(0, 4), expected.eager[1])) is None


def test_several_outputs_are_each_compared() -> None:
    expected = expect(task("row_stats"))
    mean, above, count = (leaf.clone() for leaf in expected.eager)
    count[4] += 1
    finding = judge(expected, {"mean": mean, "above": above, "count": count})
    assert finding is not None and finding.output == 2
    assert judge(expected, {"mean": mean, "above": above}) is not None


def test_the_limit_grows_with_the_length_of_sums_for_fp32_alone() -> None:
    assert STRICT.limit_for(torch.float32, 1) == 16
    assert STRICT.limit_for(torch.float32, 4096) == 128
    assert STRICT.limit_for(torch.bfloat16, 4096) == STRICT.ratio_half


@pytest.mark.parametrize(
    ("precision", "low", "outcome"),
    [
        ("fp32", "tf32", Outcome.PRECISION_DOWNGRADE),
        ("fp32", "bf16", Outcome.PRECISION_DOWNGRADE),
        ("tf32", "tf32", None),
        ("bf16", "tf32", None),
        ("bf16", "bf16", None),
    ],
)
@pytest.mark.parametrize("name", ["own", "normal", "negative", "small"])
def test_a_lower_precision_is_named_or_granted(precision: str, low: str, outcome: Outcome | None, name: str) -> None:
    expected = expect(task("matmul"), name)
    a, b = (x.bfloat16().float() if low == "bf16" else _as_tf32(x) for x in _inputs(expected))
    finding = judge(expected, a @ b, policy_for(precision))
    if outcome is None:
        assert finding is None
    else:
        assert finding is not None and (finding.outcome, finding.precision) == (outcome, low)


def test_bf16_is_too_low_for_tf32() -> None:
    """On values of both signs: on positive ones the bits that tf32 cuts off add up to more than bf16's rounding."""
    expected = expect(task("matmul"), "normal")
    a, b = (x.bfloat16().float() for x in _inputs(expected))
    finding = judge(expected, a @ b, policy_for("tf32"))
    assert finding is not None and (finding.outcome, finding.precision) == (Outcome.PRECISION_DOWNGRADE, "bf16")


@pytest.mark.parametrize(("low", "outcome"), [("tf32", None), ("bf16", Outcome.PRECISION_DOWNGRADE)])
def test_an_eager_that_uses_the_allowed_precision_hides_no_lower_one(low: str, outcome: Outcome | None) -> None:
    """As on a GPU, where torch's own product is tf32 then: bf16 errs only a few times as much."""
    expected = expect(task("matmul"), "normal")
    a, b = (x.bfloat16().float() if low == "bf16" else _as_tf32(x) for x in _inputs(expected))
    rounded = [round_mantissa(x.double(), MANTISSA["tf32"]) for x in _inputs(expected)]
    theirs = (rounded[0] @ rounded[1]).float()
    scale = Scale(value=rms(expected.exact[0]), eager=rms_difference(theirs, expected.exact[0]))
    expected = dataclasses.replace(expected, eager=(theirs,), scales=(scale,))
    finding = judge(expected, a @ b, policy_for("tf32"))
    assert (finding and finding.outcome) == outcome
    assert judge(expected, theirs, policy_for("tf32")) is None


def _as_tf32(x: torch.Tensor) -> torch.Tensor:
    return (x.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_lower_precision_excuses_no_wrong_formula(precision: str) -> None:
    expected = expect(task("matmul"), "normal")
    a, b = _inputs(expected)
    finding = judge(expected, a[:, :-8] @ b[:-8], policy_for(precision))
    assert finding is not None and finding.outcome is Outcome.WRONG_VALUES


def test_a_small_wrong_formula_is_no_lower_precision() -> None:
    expected = expect(task("linear_gelu"), "normal")
    linear = build_model(expected.task, expected.case, "cpu").linear
    with torch.no_grad():
        finding = judge(expected, torch.nn.functional.gelu(linear(_inputs(expected)[0]), approximate="tanh"))
    assert finding is not None and finding.outcome is Outcome.WRONG_VALUES


def test_ratios_for_the_record() -> None:
    expected = expect(task("row_stats"))
    (ratio,) = error_ratios(expected, list(expected.eager), STRICT)
    assert ratio <= 1.0
