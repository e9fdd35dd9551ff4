"""What waits for one stage, run by run. Pure.

Within a run main answers and resubmissions go first, oldest first; then speculation: the newest validation (it was cut
from the most reasoning, and the iteration may be over before the old ones would be judged), the oldest profile.
"""
from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from common.messages import Stage
from scheduler.requests import Request


class Lane:
    """One run's waiting requests."""

    def __init__(self, newest_first: bool) -> None:
        self.urgent: list[Request] = []
        self.speculative: list[Request] = []
        self._next = -1 if newest_first else 0

    def add(self, request: Request) -> None:
        insort(self.urgent if request.urgent else self.speculative, request, key=lambda r: r.arrival)

    def discard(self, request: Request) -> None:
        for part in (self.urgent, self.speculative):
            if request in part:
                part.remove(request)

    def head(self) -> Request:
        return self.urgent[0] if self.urgent else self.speculative[self._next]

    def oldest(self) -> Request:
        return min((part[0] for part in (self.urgent, self.speculative) if part), key=lambda r: r.arrival)

    def __len__(self) -> int:
        return len(self.urgent) + len(self.speculative)


class Lanes:
    """A stage's waiting requests. Runs without any have no lane."""

    def __init__(self, stage: Stage) -> None:
        self.of_run: dict[str, Lane] = {}
        self.count = 0
        self._newest_first = stage is Stage.VALIDATE

    def add(self, request: Request) -> None:
        self.of_run.setdefault(request.identity.run, Lane(self._newest_first)).add(request)
        self.count += 1

    def discard(self, request: Request) -> None:
        lane = self.of_run[request.identity.run]
        lane.discard(request)
        self.count -= 1
        if not lane:
            del self.of_run[request.identity.run]

    def heads(self) -> Iterator[Request]:
        return (lane.head() for lane in self.of_run.values())

    def oldest(self) -> Request:
        return min((lane.oldest() for lane in self.of_run.values()), key=lambda r: r.arrival)

    def most_speculative(self) -> Lane | None:
        """The lane with the most speculation, or None where nothing speculative waits."""
        lane = max(self.of_run.values(), key=lambda lane: len(lane.speculative), default=None)
        return lane if lane and lane.speculative else None
