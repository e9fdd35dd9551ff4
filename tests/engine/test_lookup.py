"""Prompt lookup on a real engine: proposals out of the text are verified by vLLM, and what it says stays the same."""
from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.engine.lookups import measure_lookup
from bench.engine.recorded import Iteration, Outcome, Recorded, write
from tests.engine.support import ENVIRONMENT, TINY, require_environment

pytestmark = [pytest.mark.engine, pytest.mark.soak]
OUTCOME = Outcome(key="a", passed=True, speedup=2.0, judge_seconds=1.0)


def recording() -> Recorded:
    """An answer of 96 tokens that stands in the reasoning, but for one token in the middle."""
    draw = random.Random(1)
    thinking = [draw.randrange(100, 40_000) for _ in range(300)]
    answer = thinking[100:196]
    answer[50] = 7
    iteration = Iteration(
        trace="written", prompt=tuple(range(100, 150)), thinking=tuple(thinking), ends=tuple(range(1, 301)),
        answer=tuple(answer), outcome=OUTCOME, signals=(), forks=(),
    )
    return Recorded(rule="written", seed=0, suffix=(), runs=((iteration,),), accepted=(), end=2)


async def test_copied_text_takes_fewer_steps_and_is_the_same(tmp_path: Path) -> None:
    require_environment()
    write(recording(), tmp_path / "recorded")
    found = await measure_lookup(
        TINY, tmp_path / "recorded", "8,0", tmp_path, seconds=200, tiny=True, python=str(ENVIRONMENT / "bin/python")
    )
    on, off = found["rows"]
    assert (on["proposed"], off["proposed"]) == (8, 0)
    assert on["said_the_text"] == on["answers"] == off["said_the_text"] == off["answers"] == 1
    assert off["tokens_a_step"]["p50"] == 1
    assert on["tokens_a_step"]["p50"] > 4
