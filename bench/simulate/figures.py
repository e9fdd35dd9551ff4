"""What a simulated system did, in numbers."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from common.messages import Stage

if TYPE_CHECKING:
    from bench.simulate.system import System


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    longest: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float
    """Virtual, to the end of the last run."""
    iterations: int
    reasons: dict[str, int]
    """Why they ended."""
    candidates: int
    profiled: int
    best_speedup: float
    """Mean over the runs that have one."""
    busy: float
    """Share of the devices' time that they were held."""
    useful: float
    """Share of the devices' time that led to an accepted result."""
    feedback: Waits
    """From a candidate's proposal to its final outcome, where it has one."""
    queue: dict[Stage, Waits]
    """From a request to a device."""
    reallocations: int
    """Changes of a device's role after its first."""
    lost: dict[str, int]
    """Jobs on a device that gave no result, by the reason."""
    campaigns: dict[str, dict[str, float]]
    """Device-seconds by campaign and stage."""


def figures(system: System) -> Figures:
    states = [run.state for run in system.runs.values()]
    seconds = max(state.ended.at for state in states if state.ended)
    total = seconds * len(system.site.devices)
    candidates = [c for state in states for c in state.candidates.values()]
    accepted = {(s.run, stage, name) for s in states for name, c in s.candidates.items() for stage in c.results}
    useful = sum(
        span.end - span.start for span in system.site.spans
        if span.how == "done" and (span.identity.run, span.identity.stage, span.identity.candidate) in accepted
    )
    bests = [best.settled.speedup for state in states if (best := state.best()) and best.settled]
    return Figures(
        seconds=seconds, iterations=sum(len(state.iterations) for state in states),
        reasons=dict(Counter(i.ended.reason for state in states for i in state.iterations if i.ended)),
        candidates=len(candidates), profiled=sum(Stage.PROFILE in c.results for c in candidates),
        best_speedup=sum(b for b in bests if b) / max(1, len(bests)),
        busy=sum(span.end - span.start for span in system.site.spans) / total, useful=useful / total,
        feedback=waits([c.settled.at - c.proposed.at for c in candidates if c.settled and c.settled.fate == "counted"]),
        queue=_queues(system),
        reallocations=len(system.role_changes) - len({name for _, name, _ in system.role_changes}),
        lost=dict(Counter(span.how for span in system.site.spans if span.how != "done")),
        campaigns={name: {str(stage): round(s, 1) for stage, s in account.used.items()}
                   for name, account in sorted(system.core.shares.accounts.items())[:20]},
    )


def _queues(system: System) -> dict[Stage, Waits]:
    """The first device a stage of a candidate got, after it was asked for."""
    asked = {}
    for run in system.runs.values():
        for name, candidate in run.state.candidates.items():
            asked[run.name, Stage.VALIDATE, name] = candidate.proposed.at
            if verdict := candidate.results.get(Stage.VALIDATE):
                asked[run.name, Stage.PROFILE, name] = verdict.at
    found: dict[Stage, dict[tuple[str, Stage, str], float]] = {stage: {} for stage in Stage}
    for span in system.site.spans:
        key = (span.identity.run, span.identity.stage, span.identity.candidate)
        if key in asked:
            found[span.identity.stage].setdefault(key, max(0.0, span.start - asked[key]))
    return {stage: waits(list(times.values())) for stage, times in found.items()}


def waits(values: Sequence[float]) -> Waits:
    ranked = sorted(values) or [0.0]

    def rank(share: float) -> float:
        return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 3)

    return Waits(
        count=len(values), mean=round(sum(ranked) / len(ranked), 3), p50=rank(0.5), p90=rank(0.9), p99=rank(0.99),
        longest=round(ranked[-1], 3),
    )
