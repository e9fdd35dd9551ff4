"""How likely a candidate's result ends its iteration. Pure, from the run's facts alone.

Two ways lead there. Once the main answer is in, the iteration waits for what is unsettled: with k candidates left,
each is one of the last k. Before, a measurement that clears the stop policy's bar ends it: the chance of that is the
share of the run's earlier measurements from the same source (main answers or speculation) that would clear today's bar,
with one success and one failure added (Laplace's rule of succession), so that a run without a past stands at 1/2.
"""
from __future__ import annotations

from statistics import fmean

from common.messages import CandidateProposed
from scheduler.runs import Run, source

EAGER = 1.0
"""Speedup that an empty H stands for."""


def chance(run: Run, proposed: CandidateProposed) -> float:
    """0 to 1."""
    last = 1.0 / max(1, len(run.proposed)) if run.answered else 0.0
    return max(last, _clears(run, proposed))


def _clears(run: Run, proposed: CandidateProposed) -> float:
    if run.stop == "never":
        return 0.0
    cleared, earlier = bar(run), run.speedups[source(proposed)]
    return (sum(speedup > cleared for speedup in earlier) + 1) / (len(earlier) + 2)


def bar(run: Run) -> float:
    """Speedup that a measurement has to exceed to end the iteration; where none does, to be the run's best."""
    if run.stop == "first":
        return 0.0
    if not run.H:
        return EAGER
    return max(run.H) if run.stop in ("best", "never") else fmean(run.H)
