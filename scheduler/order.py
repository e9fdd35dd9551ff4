"""Which waiting request goes next: main answers first, then arrival. Pure."""
from __future__ import annotations

from collections.abc import Iterable

from scheduler.requests import Request

MAIN, SPECULATIVE, RETRIED = 0, 1, 0
"""Priority subjects: a retried attempt goes with the main answers, it has waited long enough."""


def priority(request: Request) -> int:
    """0 to 2, lower first: the queue a request is dispatched to."""
    if request.attempt > 1:
        return RETRIED
    return MAIN if request.proposed.origin == "main" else SPECULATIVE


def in_order(waiting: Iterable[Request]) -> list[Request]:
    return sorted(waiting, key=lambda r: (priority(r), r.arrival))
