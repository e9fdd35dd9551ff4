"""Every open request and where it stands: waiting here, issued, on a device. Pure. Keeps the campaigns' accounts."""
from __future__ import annotations

from common.messages import CandidateProposed, Stage
from scheduler.estimates import Estimates
from scheduler.lanes import Lanes
from scheduler.requests import Identity, Request
from scheduler.runs import Run
from scheduler.shares import Shares


class Book:
    def __init__(self, shares: Shares, estimates: Estimates) -> None:
        self.requests: dict[Identity, Request] = {}
        self.waiting = {stage: Lanes(stage) for stage in Stage}
        self.issued: dict[Stage, dict[Identity, Request]] = {stage: {} for stage in Stage}
        self.on_device = dict.fromkeys(Stage, 0)
        self._shares = shares
        self._estimates = estimates
        self._of_run: dict[str, set[Identity]] = {}
        self._arrivals = 0

    def open(
        self, identity: Identity, proposed: CandidateProposed, run: Run, attempt: int, requested_at: float, now: float
    ) -> None:
        self._arrivals += 1
        request = Request(identity, proposed, run.campaign, requested_at, self._arrivals, now, attempt)
        self.requests[identity] = request
        self._of_run.setdefault(identity.run, set()).add(identity)
        self.waiting[identity.stage].add(request)
        self._shares.joined(run.campaign, run.weight, self._estimates.seconds())

    def issue(self, request: Request, now: float) -> None:
        """It has left for the workers, now or (where a former scheduler sent it) before."""
        if request.waiting:
            self.waiting[request.identity.stage].discard(request)
            self.issued[request.identity.stage][request.identity] = request
            self._shares.issued(request.campaign, request.identity.stage)
        request.issued_at = now

    def put_back(self, request: Request, attempt: int) -> None:
        """It waits again, for this attempt."""
        self._leave(request)
        request.attempt, request.issued_at = attempt, None
        self.waiting[request.identity.stage].add(request)

    def close(self, request: Request) -> None:
        identity = request.identity
        del self.requests[identity]
        self._leave(request)
        self._shares.left(request.campaign)
        mine = self._of_run[identity.run]
        mine.discard(identity)
        if not mine:
            del self._of_run[identity.run]

    def _leave(self, request: Request) -> None:
        """Out of the part of the book it stands in."""
        stage = request.identity.stage
        self.hold(request, False)
        if request.waiting:
            self.waiting[stage].discard(request)
        else:
            del self.issued[stage][request.identity]
            self._shares.returned(request.campaign, stage)

    def hold(self, request: Request, on_device: bool) -> None:
        """Whether it holds a device."""
        self.on_device[request.identity.stage] += on_device - request.on_device
        request.on_device = on_device

    def of_run(self, run: str) -> list[Request]:
        return [self.requests[identity] for identity in self._of_run.get(run, ())]

    def queue(self, stage: Stage) -> int:
        """Open requests of a stage that are on no device."""
        return self.waiting[stage].count + len(self.issued[stage]) - self.on_device[stage]

    def waiting_total(self) -> int:
        return sum(lanes.count for lanes in self.waiting.values())
