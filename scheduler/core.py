"""The scheduler as a pure machine: messages and ticks in, effects out. It does no I/O and reads no clock.

The state is one mutable object owned by this class: copying it at each message would cost more than the work.
`Scheduler.observe(message, now)` folds what is known; `Scheduler.act(now)` says what follows. Replaying history is
`observe` without `act`, so a restarted scheduler decides only once it knows everything.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from common.messages import (
    AttemptFailed,
    AttemptRevoked,
    AttemptStarted,
    CandidateProposed,
    CandidateSettled,
    IterationEnded,
    Message,
    Outcome,
    Profile,
    Result,
    RunEnded,
    Stage,
    Verdict,
    WorkerBeat,
    WorkerLeft,
)
from scheduler.effects import Assign, Effect, GiveUp, Issue, Revoke, Withdraw
from scheduler.order import in_order, priority
from scheduler.requests import Identity, Request
from scheduler.roles import Roles, assign
from scheduler.settings import SchedulerSettings


class Scheduler:
    def __init__(self, settings: SchedulerSettings) -> None:
        self.settings = settings
        self.requests: dict[Identity, Request] = {}
        self.workers: dict[str, WorkerBeat] = {}
        self.roles: Roles = {}
        self.epoch = 0
        self._proposed: dict[tuple[str, str], CandidateProposed] = {}
        self._done: set[Identity] = set()
        self._closed: dict[str, int] = {}
        self._arrivals = 0
        self._pending: list[Effect] = []

    # ---- what is known

    def observe(self, message: Message, now: float) -> None:
        match message:
            case CandidateProposed():
                self._proposed[message.run, message.candidate] = message
                self._request(Stage.VALIDATE, message, message.at)
            case Verdict() | Profile():
                self._result(message)
            case CandidateSettled():
                self._forget(message.run, message.candidate)
            case IterationEnded():
                self._close(message.run, message.iteration, message.reason)
            case RunEnded():
                self._close(message.run, 1 << 30, message.reason)
            case WorkerBeat():
                self.workers[message.worker] = message
            case WorkerLeft():
                self.workers.pop(message.worker, None)
            case AttemptStarted():
                self._started(message)
            case AttemptFailed():
                self._failed(message)
            case AttemptRevoked():
                self._revoked(message)

    def adopt(self, queued: dict[Identity, int], now: float) -> None:
        """After replaying history: jobs of a former scheduler that are still queued, with their attempt."""
        for identity, attempt in queued.items():
            if (request := self.requests.get(identity)) and request.waiting:
                request.attempt, request.issued_at = max(attempt, request.attempt), now

    def _request(self, stage: Stage, proposed: CandidateProposed, at: float) -> None:
        identity = Identity(stage, proposed.run, proposed.iteration, proposed.candidate)
        open_ = proposed.iteration > self._closed.get(proposed.run, 0)
        if open_ and identity not in self._done and identity not in self.requests:
            self._arrivals += 1
            self.requests[identity] = Request(identity, proposed, at, self._arrivals)

    def _result(self, result: Result) -> None:
        stage = Stage.VALIDATE if isinstance(result, Verdict) else Stage.PROFILE
        identity = Identity(stage, result.run, result.iteration, result.candidate)
        if identity in self._done or result.iteration <= self._closed.get(result.run, 0):
            return
        self._done.add(identity)
        self.requests.pop(identity, None)
        proposed = self._proposed.get((result.run, result.candidate))
        if stage is Stage.VALIDATE and result.judgement.outcome is Outcome.PASSED and proposed:
            self._request(Stage.PROFILE, proposed, result.at)

    def _forget(self, run: str, candidate: str) -> None:
        proposed = self._proposed.pop((run, candidate), None)
        if proposed:
            for stage in Stage:
                self.requests.pop(Identity(stage, run, proposed.iteration, candidate), None)

    def _close(self, run: str, iteration: int, reason: str) -> None:
        """Iterations of a run are open one after the other: one number says which are closed."""
        self._closed[run] = max(iteration, self._closed.get(run, 0))
        gone = [i for i in self.requests if i.run == run and i.iteration <= iteration]
        for number in {i.iteration for i in gone}:
            self._pending.append(Withdraw(run, number, reason))
        for identity in gone:
            del self.requests[identity]
        self._done = {i for i in self._done if i.run != run or i.iteration > iteration}
        self._proposed = {k: p for k, p in self._proposed.items() if k[0] != run or p.iteration > iteration}

    def _started(self, message: AttemptStarted) -> None:
        identity = Identity(message.stage, message.run, message.iteration, message.candidate)
        request = self.requests.get(identity)
        if request and message.attempt >= request.attempt:
            request.attempt = message.attempt
            request.issued_at = request.issued_at or message.at

    def _failed(self, message: AttemptFailed) -> None:
        identity = Identity(message.stage, message.run, message.iteration, message.candidate)
        request = self.requests.get(identity)
        if request and request.attempt == message.attempt:
            self._next_attempt(request, message.reason)

    def _revoked(self, message: AttemptRevoked) -> None:
        """Told by a former scheduler: its decision stands. Our own echo finds the attempt already passed."""
        request = self.requests.get(Identity(message.stage, message.run, message.iteration, message.candidate))
        if request and request.attempt <= message.attempt:
            request.attempt, request.issued_at = message.attempt + 1, None

    def _next_attempt(self, request: Request, reason: str) -> None:
        self._pending.append(Revoke(request.identity, request.attempt, reason))
        request.failures.append(reason)
        if request.attempt >= self.settings.attempts:
            self._pending.append(GiveUp(request, reason))
            self._done.add(request.identity)
            self.requests.pop(request.identity, None)
        else:
            request.attempt += 1
            request.issued_at = None

    # ---- what follows

    def act(self, now: float) -> list[Effect]:
        """Everything to do now, in order. Calling it again without news gives nothing."""
        self._drop_silent_workers(now)
        self._expire(now)
        effects, self._pending = self._pending, []
        effects += self._reassign()
        for stage in Stage:
            effects += self._dispatch(stage, now)
        return effects

    def lost(self, queued: Collection[Identity], now: float) -> None:
        """Reconcile: an issued attempt that is neither queued nor with a worker is gone and counts as failed."""
        running = {job for beat in self.workers.values() for job in beat.jobs}
        for request in list(self.requests.values()):
            issued = request.issued_at
            if issued is None or now - issued < self.settings.lost_after:
                continue
            if request.identity not in queued and str(request.identity) not in running:
                self._next_attempt(request, "the job vanished from the queue without a result")

    def _drop_silent_workers(self, now: float) -> None:
        limit = now - self.settings.worker_timeout
        self.workers = {name: beat for name, beat in self.workers.items() if beat.at > limit}

    def _expire(self, now: float) -> None:
        for request in list(self.requests.values()):
            if request.issued_at is not None and now - request.issued_at > self.settings.attempt_seconds:
                self._next_attempt(request, f"no result within {self.settings.attempt_seconds:g} s")

    def _reassign(self) -> list[Effect]:
        capable = {d: frozenset(stages) for beat in self.workers.values() for d, stages in beat.devices.items()}
        waiting = Counter(request.identity.stage for request in self.requests.values())
        roles = assign(capable, waiting, self.roles)
        if roles == self.roles:
            return []
        changed = tuple(sorted(d for d in roles if roles[d] != self.roles.get(d)))
        self.roles, self.epoch = roles, self.epoch + 1
        return [Assign(self.epoch, roles, changed, {f"waiting_{s}": float(waiting[s]) for s in Stage})]

    def _dispatch(self, stage: Stage, now: float) -> list[Effect]:
        """As many jobs as there are worker slots of the stage, plus one, so that a worker never waits for us."""
        mine = [r for r in self.requests.values() if r.identity.stage is stage]
        slots = sum(beat.slots for beat in self.workers.values() if beat.stage is stage)
        room = slots + 1 - sum(not r.waiting for r in mine)
        effects: list[Effect] = []
        for request in in_order(r for r in mine if r.waiting)[: max(0, room)]:
            request.issued_at = now
            effects.append(Issue(request, priority(request), now + self.settings.attempt_seconds))
        return effects
