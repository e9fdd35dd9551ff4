"""Packed recordings, and what is composed from counts and measurements."""
from __future__ import annotations

from pathlib import Path

import pytest

from bench.engine.compose import compose
from bench.engine.figures import spread
from bench.engine.recorded import Accepted, Iteration, Outcome, Recorded, Stand, read, write
from common.errors import UsageError

GOOD = Outcome(key="a", passed=True, speedup=2.0, judge_seconds=5.0)
ITERATION = Iteration(
    trace="t", prompt=(1, 2), thinking=(10, 11, 12, 13), ends=(3, 8, 9, 14), answer=(20,), outcome=GOOD, signals=(),
    forks=(Stand(from_char=0, ids=(1,), outcome=GOOD), Stand(from_char=9, ids=(2,), outcome=GOOD)),
)
COUNTED = Accepted(proposed=4, answer=(2.0, 4.0, 3.0), answer_alone=(1.0, 1.5, 1.2), thinking=(1.4, 1.4, 1.4))


@pytest.mark.parametrize(("char", "tokens"), [(0, 0), (1, 1), (3, 1), (4, 2), (8, 2), (9, 3), (14, 4)])
def test_a_cut_takes_every_token_that_the_text_needs(char: int, tokens: int) -> None:
    assert ITERATION.tokens_at(char) == tokens


@pytest.mark.parametrize(("char", "ids"), [(0, (1,)), (8, (1,)), (9, (2,)), (100, (2,))])
def test_the_latest_stand_in_answers(char: int, ids: tuple[int, ...]) -> None:
    assert ITERATION.stand_at(char).ids == ids


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    packed = Recorded(rule="r", seed=1, suffix=(7,), runs=((ITERATION,),), accepted=(COUNTED,), end=2)
    write(packed, tmp_path / "packed")
    assert read(tmp_path / "packed") == packed and packed.iterations == [ITERATION]
    (tmp_path / "other").write_text("{}")
    for name in ("other", "missing"):
        with pytest.raises(UsageError, match="pack_traces OUT"):
            read(tmp_path / name)


def row(proposed: int, step_ms: float, tokens: float) -> dict[str, object]:
    return {"proposed": proposed, "step_ms": {"p50": step_ms}, "tokens_a_step": {"p50": tokens},
            "tokens_a_second": {"p50": 1000 * tokens / step_ms}}


def test_a_composed_speedup_is_tokens_a_step_over_the_slower_step() -> None:
    [found] = compose([COUNTED], {"rows": [row(4, 6.0, 2.9)]}, {"rows": [row(0, 5.0, 1.0)]})
    assert found["counted_tokens_a_step"] == {"answer": 3.0, "answer_without_reasoning": 1.2, "reasoning": 1.4}
    assert found["step_time_over_plain"] == 1.2
    assert found["composed_speedup"] == {"answer": 2.5, "answer_without_reasoning": 1.0, "reasoning": 1.17}
    assert (found["measured_tokens_a_step"], found["measured_speedup"]) == (2.9, 2.42)


def test_what_was_not_measured_is_not_composed() -> None:
    for on, off in ((None, None), ({"rows": [row(4, 6.0, 2.9)]}, None), (None, {"rows": [row(0, 5.0, 1.0)]})):
        [found] = compose([COUNTED], on, off)
        assert found["composed_speedup"] is None and found["measured_speedup"] is None


def test_a_spread_has_quantiles() -> None:
    assert spread([]) == {"n": 0}
    found = spread([n / 100 for n in range(100)], scale=100)
    assert (found["n"], found["p10"], found["p50"], found["p99"], found["max"]) == (100, 10.0, 50.0, 99.0, 99.0)
