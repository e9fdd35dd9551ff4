"""Which waiting request goes next. Pure.

Between campaigns: the higher priority; main answers and resubmissions; who is not ahead of its share; whose result is
likely to end its iteration; who came first. Between runs of one campaign, which is done when its last run is: a
validation of the run with the most iterations left; the profile most likely to end its iteration; again who came first.
Within a run see `lanes.py`. So that nobody waits for ever, every
`patience_every`th time the request that has waited longest goes, once it has waited `patience_seconds`.
"""
from __future__ import annotations

from collections.abc import Mapping

from common.messages import Stage
from scheduler.chance import chance
from scheduler.lanes import Lanes
from scheduler.requests import Request
from scheduler.runs import Run
from scheduler.settings import SchedulerSettings
from scheduler.shares import Shares

LOW = 2
"""The last priority subject: campaigns with a negative priority."""


def subject_priority(request: Request, run: Run) -> int:
    """0 to 2, lower first: the queue a request is dispatched to."""
    if run.priority < 0:
        return LOW
    return 0 if request.urgent else 1


class Order:
    """Picks from a stage's lanes, and counts how often it did."""

    def __init__(self, settings: SchedulerSettings, runs: Mapping[str, Run], shares: Shares) -> None:
        self._settings = settings
        self._runs = runs
        self._shares = shares
        self._picked = dict.fromkeys(Stage, 0)

    def pick(
        self, stage: Stage, lanes: Lanes, seconds: Mapping[Stage, float], now: float, *, only_urgent: bool = False
    ) -> Request:
        """`seconds`: mean device time by stage. The lanes hold at least one request, of the kind asked for."""
        self._picked[stage] += 1
        if self._picked[stage] % self._settings.patience_every == 0 and not only_urgent:
            oldest = lanes.oldest()
            if now - oldest.arrived_at > self._settings.patience_seconds:
                return oldest
        heads = [head for head in lanes.heads() if head.urgent or not only_urgent]
        if len(heads) == 1:
            return heads[0]
        slack = self._settings.fair_jobs * seconds[stage]
        lags = self._shares.lags({head.campaign for head in heads}, seconds, slack)
        first = min(heads, key=lambda head: self._rank(head, lags))
        return min((head for head in heads if head.campaign == first.campaign), key=self._rank_within)

    def _rank(self, request: Request, lags: Mapping[str, float]) -> tuple[float, ...]:
        run = self._runs[request.identity.run]
        return (
            -run.priority, not request.urgent, lags[request.campaign], -chance(run, request.proposed), request.arrival
        )

    def _rank_within(self, request: Request) -> tuple[float, ...]:
        run = self._runs[request.identity.run]
        left, likely = -run.left, -chance(run, request.proposed)
        first = (left, likely) if request.identity.stage is Stage.VALIDATE else (likely, left)
        return -run.priority, not request.urgent, *first, request.arrival
