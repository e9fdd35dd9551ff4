"""The attempts of a request: started, failed, revoked, lost, expired, given up. Pure but for the book it keeps.

An attempt is over once its number is revoked; results of it are stale. The next number is known also of work that has
no open request (yet), because after a restart revocations are read before the results that open a request.
"""
from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping

from common.messages import AttemptFailed, AttemptRevoked, AttemptStarted, Stage
from scheduler.book import Book
from scheduler.effects import Effect, GiveUp, Revoke
from scheduler.requests import Identity, Request
from scheduler.runs import Run
from scheduler.settings import SchedulerSettings

_TRIED = "could not be judged in {} attempts, which is not the candidate's fault: {}"


class Attempts:
    def __init__(self, settings: SchedulerSettings, book: Book, runs: Mapping[str, Run]) -> None:
        self._settings = settings
        self._book = book
        self._runs = runs
        self._next: dict[str, dict[Identity, int]] = {}
        self._deadlines: list[tuple[float, int, Identity]] = []

    def next_of(self, identity: Identity) -> int:
        """The lowest attempt that is not revoked."""
        return self._next.get(identity.run, {}).get(identity, 1)

    def forget(self, run: str) -> None:
        """Its iteration is over."""
        self._next.pop(run, None)

    def _reached(self, identity: Identity, attempt: int) -> None:
        """Every attempt before this one is over."""
        run = self._runs.get(identity.run)
        if run is not None and identity.candidate in run.proposed:
            of_run = self._next.setdefault(identity.run, {})
            of_run[identity] = max(attempt, of_run.get(identity, 1))

    # ---- what workers and a former scheduler say

    def issued(self, request: Request, now: float) -> None:
        self._book.issue(request, now)
        heapq.heappush(self._deadlines, (now + self._settings.attempt_seconds, request.attempt, request.identity))

    def started(self, message: AttemptStarted, now: float) -> None:
        identity = Identity(message.stage, message.run, message.iteration, message.candidate)
        request = self._book.requests.get(identity)
        if message.attempt < self.next_of(identity):
            return
        self._reached(identity, message.attempt)
        if request is None:
            return
        if request.attempt < message.attempt:
            self._book.put_back(request, message.attempt)
        self._book.hold(request, False)
        if request.waiting:
            self.issued(request, now)

    def failed(self, message: AttemptFailed) -> list[Effect]:
        identity = Identity(message.stage, message.run, message.iteration, message.candidate)
        request = self._book.requests.get(identity)
        return self._again(request, message.reason) if request and request.attempt == message.attempt else []

    def revoked(self, message: AttemptRevoked) -> None:
        """Told by a former scheduler: its decision stands. Our own echo finds the attempt already passed."""
        identity = Identity(message.stage, message.run, message.iteration, message.candidate)
        self._reached(identity, message.attempt + 1)
        request = self._book.requests.get(identity)
        if request and request.attempt <= message.attempt:
            self._book.put_back(request, message.attempt + 1)

    # ---- what time says

    def expired(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while self._deadlines and self._deadlines[0][0] < now:
            _, attempt, identity = heapq.heappop(self._deadlines)
            request = self._book.requests.get(identity)
            if request and request.attempt == attempt and not request.waiting:
                effects += self._again(request, f"no result within {self._settings.attempt_seconds:g} s")
        return effects

    def lost(self, queued: Collection[Identity], running: Collection[str], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for stage in Stage:
            for request in list(self._book.issued[stage].values()):
                young = request.issued_at is None or now - request.issued_at < self._settings.lost_after
                if not young and request.identity not in queued and str(request.identity) not in running:
                    effects += self._again(request, "the job vanished from the queue without a result")
        return effects

    # ---- what follows

    def _again(self, request: Request, reason: str) -> list[Effect]:
        request.failures.append(reason)
        if request.attempt >= self._settings.attempts:
            return self.give_up(request, _TRIED.format(request.attempt, "; ".join(request.failures)), reason)
        revoke = Revoke(request.identity, request.attempt, reason)
        self._reached(request.identity, request.attempt + 1)
        self._book.put_back(request, request.attempt + 1)
        return [revoke]

    def give_up(self, request: Request, summary: str, reason: str) -> list[Effect]:
        """The candidate's stage ends without a judgement. An attempt that is out is revoked."""
        out = [] if request.waiting else [Revoke(request.identity, request.attempt, reason)]
        self._runs[request.identity.run].judged.add((request.identity.stage, request.identity.candidate))
        self._reached(request.identity, request.attempt + 1)
        self._book.close(request)
        return [*out, GiveUp(request, summary)]
