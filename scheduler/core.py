"""The scheduler as a pure machine: messages and ticks in, effects out. It does no I/O and reads no clock.

The state is one mutable object owned by this class: copying it at each message would cost more than the work.
`observe(message, now)` folds what is known; `act(now)` says what follows. Replaying history is `observe` without `act`,
so a restarted scheduler decides only once it knows everything. `now` is monotonic seconds: nothing is decided by the
wall clock, so that setting it neither expires an attempt nor drops a worker.
"""
from __future__ import annotations

from collections.abc import Collection

from common.messages import (
    AttemptFailed,
    AttemptRevoked,
    AttemptStarted,
    CandidateProposed,
    CandidateSettled,
    Fact,
    IterationEnded,
    LeaseReleased,
    LeaseTaken,
    Message,
    Outcome,
    Profile,
    ResultAccepted,
    RunEnded,
    Stage,
    Verdict,
    WorkerBeat,
    WorkerLeft,
)
from scheduler.attempts import Attempts
from scheduler.book import Book
from scheduler.dispatch import Dispatcher
from scheduler.effects import Effect, Issue, Revoke, Withdraw
from scheduler.estimates import Estimates
from scheduler.fleet import Fleet, Roles
from scheduler.order import Order
from scheduler.pools import make_policy
from scheduler.requests import Identity
from scheduler.runs import Run
from scheduler.settings import SchedulerSettings
from scheduler.shares import Shares
from scheduler.watch import Watch


class Scheduler:
    """`order` picks what goes next."""

    def __init__(self, settings: SchedulerSettings, order: type[Order] = Order) -> None:
        self.runs: dict[str, Run] = {}
        self.shares = Shares()
        self.estimates = Estimates()
        self.fleet = Fleet(settings)
        self.book = Book(self.shares, self.estimates)
        self._attempts = Attempts(settings, self.book, self.runs)
        self._dispatcher = Dispatcher(
            settings, self.book, self.runs, self.fleet, self.estimates, order(settings, self.runs, self.shares),
            self._attempts,
        )
        self._pools = make_policy(settings)
        self._watch = Watch(settings, self.book, self.fleet, self.estimates, self._pools)
        self._ended: set[str] = set()
        self._pending: list[Effect] = []

    # ---- what is known

    def observe(self, message: Message, now: float) -> None:
        if isinstance(message, Fact):
            if self._new(message):
                self._fact(message, now)
                self.estimates.observe(message, now)
            return
        match message:
            case Verdict() | Profile():
                self._result(message, now)
                self.estimates.observe(message, now)
            case WorkerBeat():
                self.fleet.beat(message, now)
            case WorkerLeft():
                self.fleet.left(message.worker)
            case LeaseTaken():
                self._taken(message, now)
            case LeaseReleased():
                self._released(message)
            case AttemptStarted():
                self._attempts.started(message, now)
            case AttemptFailed():
                self._watch.failed(message, now)
                self._pending += self._attempts.failed(message)
            case AttemptRevoked():
                self._revoked(message)

    def adopt(self, queued: Collection[Identity], roles: Roles, epoch: int, now: float) -> None:
        """After replaying history: the jobs and roles that a former scheduler left. Work of what is over is taken back,
        and devices keep their roles until their workers had the time to be heard."""
        for identity in queued:
            request = self.book.requests.get(identity)
            if request and request.waiting:
                self._attempts.issued(request, now)
            elif self._over(identity):
                self._pending.append(Withdraw(identity.run, identity.iteration, "its iteration is over"))
        if roles:
            self._watch.adopt(roles, epoch, now)

    def _over(self, identity: Identity) -> bool:
        run = self.runs.get(identity.run)
        return identity.run in self._ended or (run is not None and identity.iteration <= run.over)

    def _new(self, fact: Fact) -> bool:
        """Fold it into its run; False where that was done before, or the run is over."""
        if fact.run in self._ended:
            return False
        run = self.runs.setdefault(fact.run, Run(fact.run))
        if fact.n <= run.n:
            return False
        run.fold(fact)
        return True

    def _fact(self, fact: Fact, now: float) -> None:
        match fact:
            case CandidateProposed():
                self._request(Stage.VALIDATE, fact, fact.at, now)
            case ResultAccepted():
                self._accepted(fact, now)
            case CandidateSettled():
                for stage in Stage:
                    self._close(Identity(stage, fact.run, fact.iteration, fact.candidate))
            case IterationEnded():
                self._end(fact.run, fact.reason)
            case RunEnded():
                self._end(fact.run, fact.reason)
                del self.runs[fact.run]
                self._ended.add(fact.run)

    def _request(self, stage: Stage, proposed: CandidateProposed, at: float, now: float) -> None:
        run = self.runs[proposed.run]
        identity = Identity(stage, proposed.run, proposed.iteration, proposed.candidate)
        known = identity in self.book.requests or (stage, proposed.candidate) in run.judged
        if not known and proposed.candidate in run.proposed:
            self.book.open(identity, proposed, run, self._attempts.next_of(identity), at, now)

    def _result(self, result: Verdict | Profile, now: float) -> None:
        """A result of a revoked attempt says nothing: the generator does not accept it either."""
        stage = Stage.VALIDATE if isinstance(result, Verdict) else Stage.PROFILE
        identity = Identity(stage, result.run, result.iteration, result.candidate)
        self._watch.succeeded(result.device)
        if result.attempt >= self._attempts.next_of(identity):
            self._judged(identity, result.judgement.outcome, result.at, now)

    def _accepted(self, fact: ResultAccepted, now: float) -> None:
        """What the generator accepted stands, also where we had given that attempt up: then a newer one is out."""
        identity = Identity(fact.stage, fact.run, fact.iteration, fact.candidate)
        request = self.book.requests.get(identity)
        if request and not request.waiting and request.attempt > fact.attempt:
            self._pending.append(Revoke(identity, request.attempt, f"attempt {fact.attempt} gave a result after all"))
        self._judged(identity, fact.judgement.outcome, fact.at, now)

    def _judged(self, identity: Identity, outcome: Outcome, at: float, now: float) -> None:
        run = self.runs.get(identity.run)
        proposed = run.proposed.get(identity.candidate) if run else None
        if run is None or proposed is None or (identity.stage, identity.candidate) in run.judged:
            return
        run.judged.add((identity.stage, identity.candidate))
        self._close(identity)
        if identity.stage is Stage.VALIDATE and outcome is Outcome.PASSED:
            self._request(Stage.PROFILE, proposed, at, now)

    def _revoked(self, message: AttemptRevoked) -> None:
        """What a former scheduler carried out is not done again: by now the job of a newer attempt may be queued."""
        self._attempts.revoked(message)
        identity = Identity(message.stage, message.run, message.iteration, message.candidate)
        done = (identity, message.attempt)
        self._pending = [e for e in self._pending if not isinstance(e, Revoke) or (e.identity, e.attempt) != done]

    def _close(self, identity: Identity) -> None:
        if request := self.book.requests.get(identity):
            self.book.close(request)

    def _end(self, run: str, reason: str) -> None:
        """Of an iteration, or of the run: whatever it still has open is over."""
        gone = self.book.of_run(run)
        for iteration in sorted({r.identity.iteration for r in gone if not r.waiting}):
            self._pending.append(Withdraw(run, iteration, reason))
        for request in gone:
            self.book.close(request)
        self._attempts.forget(run)
        self._pools.round_ended()

    def _taken(self, message: LeaseTaken, now: float) -> None:
        run = self.runs.get(message.run)
        identity = self.fleet.taken(message, run.campaign if run else message.run, now)
        request = self.book.requests.get(identity)
        if request and not request.waiting:
            self.book.hold(request, True)

    def _released(self, message: LeaseReleased) -> None:
        hold = self.fleet.released(message)
        if hold is None:
            return
        self.shares.charge(hold.campaign, message.stage, message.seconds)
        if message.reason == "done":
            self.estimates.held(message.stage, message.seconds)
        request = self.book.requests.get(hold.identity)
        if request and not request.waiting:
            self.book.hold(request, False)

    # ---- what follows

    def act(self, now: float) -> list[Effect]:
        """Everything to do now, in order. Calling it again without news gives nothing."""
        self._pending += self._attempts.expired(now)
        self._pending += self._dispatcher.shed()
        effects, self._pending = self._pending, []
        effects += self._watch.look(now, full=self._dispatcher.held_back(now))
        for stage in Stage:
            effects += self._dispatcher.dispatch(stage, now)
        return effects

    def lost(self, queued: Collection[Identity], now: float) -> None:
        """Reconcile: an issued attempt that is neither queued nor with a worker is gone and counts as failed."""
        self._pending += self._attempts.lost(queued, self.fleet.running_jobs(), now)

    def refused(self, effect: Effect, reason: str, now: float, *, for_good: bool) -> None:
        """The bus did not take it. A job it never will take is given up, anything else is tried again; while the bus is
        full only urgent work is."""
        self._dispatcher.hold_back(now)
        if not isinstance(effect, Issue):
            self._pending.append(effect)
        elif (request := effect.request) is self.book.requests.get(request.identity):
            if for_good:
                self._pending += self._attempts.give_up(request, f"cannot be sent: {reason}", reason)
            else:
                self.book.put_back(request, request.attempt)
