"""How many jobs go out, and which requests are dropped when too many wait. Pure but for the book it keeps.

A stage gets as many jobs as keep its devices busy: one a device, and more where a job compiles for a while before it
needs one; never more than its workers take. Whatever waits beyond that waits here, where its order can still change.
How long jobs compile is not known before the first results: until then every worker may, rather than stand idle.
"""
from __future__ import annotations

import math
from collections.abc import Mapping

from common.messages import Stage
from scheduler.attempts import Attempts
from scheduler.book import Book
from scheduler.chance import bar
from scheduler.effects import Effect, Issue
from scheduler.estimates import Estimates
from scheduler.fleet import Fleet
from scheduler.order import Order, subject_priority
from scheduler.requests import Request
from scheduler.runs import Run
from scheduler.settings import SchedulerSettings

_FULL_SECONDS = 1.0
"""How long speculation is held back after the bus refused a job."""
_DROPPED = "dropped unjudged: {} candidates wait, which is the limit (SPECGEN_SCHEDULER_WAITING_LIMIT)"


class Dispatcher:
    def __init__(
        self, settings: SchedulerSettings, book: Book, runs: Mapping[str, Run], fleet: Fleet, estimates: Estimates,
        order: Order, attempts: Attempts,
    ) -> None:
        self._settings = settings
        self._book = book
        self._runs = runs
        self._fleet = fleet
        self._estimates = estimates
        self._order = order
        self._attempts = attempts
        self._held_until = float("-inf")

    def room(self, stage: Stage) -> int:
        """Jobs that may go out now. Where no device serves the stage but one could, a job goes out to be compiled: the
        roles follow what is ready."""
        devices, slots = self._fleet.serving[stage] or self._fleet.could_serve(stage), self._fleet.slots[stage]
        if not devices or not slots:
            return 0
        out = len(self._book.issued[stage])
        if stage is Stage.VALIDATE and not self._estimates.compile[stage].seen:
            return slots - out
        on_device = max(self._estimates.device[stage].value, 1e-3)
        before = self._estimates.compile[stage].value
        busy = min(slots, math.ceil(devices * (1 + before / on_device)))
        ahead = int(slots * self._settings.ahead_seconds / (before + on_device))
        return busy + ahead - out

    def dispatch(self, stage: Stage, now: float) -> list[Effect]:
        lanes = self._book.waiting[stage]
        full = self.held_back(now)
        many = sum(len(lane.urgent) for lane in lanes.of_run.values()) if full else lanes.count
        room = min(self.room(stage), many) if many else 0
        seconds = self._estimates.seconds() if room > 0 else {}
        return [self._issue(self._order.pick(stage, lanes, seconds, now, only_urgent=full), now) for _ in range(room)]

    def _issue(self, request: Request, now: float) -> Issue:
        self._attempts.issued(request, now)
        run = self._runs[request.identity.run]
        return Issue(
            request, request.attempt, subject_priority(request, run), self._settings.attempt_seconds, bar(run)
        )

    def hold_back(self, now: float) -> None:
        """The bus is full: only urgent work goes out for a while."""
        self._held_until = now + _FULL_SECONDS

    def held_back(self, now: float) -> bool:
        return now < self._held_until

    def shed(self) -> list[Effect]:
        """The oldest speculative validations of whoever has most of them, until no more than the limit wait."""
        effects: list[Effect] = []
        while (total := self._book.waiting_total()) > self._settings.waiting_limit:
            lane = self._book.waiting[Stage.VALIDATE].most_speculative()
            if lane is None:
                break
            effects += self._attempts.give_up(lane.speculative[0], _DROPPED.format(total), "dropped")
        return effects
