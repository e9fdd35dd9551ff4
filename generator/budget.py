"""Whether a run may go on. Pure."""
from __future__ import annotations

from common.messages import Budget
from generator.state import RunState


def exhausted(state: RunState, *, now: float, tokens: int) -> str | None:
    """The budget that is used up (`iterations`, `tokens` or `seconds`), or None.

    `tokens` are those generated so far, running generations included; `now` is in Unix seconds.
    """
    assert state.started is not None
    budget: Budget = state.started.budget
    if budget.tokens is not None and tokens >= budget.tokens:
        return "tokens"
    if budget.seconds is not None and now - state.started.at >= budget.seconds:
        return "seconds"
    if state.current is None and len(state.iterations) >= budget.iterations:
        return "iterations"
    return None


def seconds_left(state: RunState, now: float) -> float | None:
    """Wall time left, or None without such a limit."""
    assert state.started is not None
    limit = state.started.budget.seconds
    return None if limit is None else max(0.0, state.started.at + limit - now)
