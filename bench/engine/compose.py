"""Prompt lookup composed: tokens a step counted on the recordings, times steps a second measured on the engine. Pure.

A composed figure assumes that a step's time does not depend on which of its proposals hold. Beside it stands what was
measured directly, where it was.
"""
from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.engine.recorded import Accepted


def compose(
    accepted: Sequence[Accepted], on: dict[str, Any] | None, off: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """A row for each number of proposed tokens; what was not measured is None."""
    steps = {row["proposed"]: row for row in (*(on or {}).get("rows", ()), *(off or {}).get("rows", ()))}
    plain = steps.get(0)
    return [_row(counted, steps.get(counted.proposed), plain) for counted in accepted]


def _row(counted: Accepted, measured: dict[str, Any] | None, plain: dict[str, Any] | None) -> dict[str, Any]:
    slower = None
    if measured is not None and plain is not None:
        slower = measured["step_ms"]["p50"] / plain["step_ms"]["p50"]
    kinds = {"answer": counted.answer, "answer_without_reasoning": counted.answer_alone, "reasoning": counted.thinking}
    return {
        "proposed": counted.proposed,
        "counted_tokens_a_step": {kind: round(median(values), 2) for kind, values in kinds.items()},
        "step_time_over_plain": slower and round(slower, 3),
        "composed_speedup": slower and {kind: round(median(v) / slower, 2) for kind, v in kinds.items()},
        "measured_tokens_a_step": measured and measured["tokens_a_step"]["p50"],
        "measured_speedup": measured and plain and round(
            measured["tokens_a_second"]["p50"] / plain["tokens_a_second"]["p50"], 2
        ),
    }
