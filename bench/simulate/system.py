"""The whole: runs, the scheduler's core and the site, joined by messages that take a moment."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from bench.simulate.clock import Clock
from bench.simulate.figures import Figures, figures
from bench.simulate.run import Future, Run
from bench.simulate.site import Site
from bench.simulate.workload import Candidate, Draws, Workload
from bench.simulate.world import World
from common.messages import (
    AttemptRevoked,
    Feedback,
    Judgement,
    Message,
    Outcome,
    Profile,
    Stage,
    Verdict,
    WorkerBeat,
)
from scheduler.core import Scheduler
from scheduler.effects import Assign, Effect, GiveUp, Issue, Revoke, Withdraw
from scheduler.requests import Identity
from scheduler.settings import SchedulerSettings

_FOR_EVER = 1e12
_LOST = Feedback(summary="given up")
MakeScheduler = Callable[[SchedulerSettings, "System"], Scheduler]


class System:
    def __init__(
        self, world: World, workload: Workload, settings: SchedulerSettings | None = None, *,
        scheduler: MakeScheduler | None = None, future: Callable[[str], Future] | None = None,
    ) -> None:
        self.world = world
        self.clock = Clock()
        settings = settings or SchedulerSettings()
        self.settings = msgspec.structs.replace(settings, worker_timeout=_FOR_EVER)
        self.core = scheduler(self.settings, self) if scheduler else Scheduler(self.settings)
        self.site = Site(self.clock, world, self._from_worker, self.plan_of)
        self.role_changes: list[tuple[float, str, tuple[Stage, ...]]] = []
        self._acting = False
        self._look_planned = False
        future = future or (lambda name: Draws(workload, world.seed, name, world.service, world.wins))
        self.runs = {
            name: Run(
                name, self.clock, world, future(name), self._to_scheduler, self._load,
                campaign=f"c{number % world.campaigns}",
            )
            for number, name in enumerate(f"r{i}" for i in range(world.runs))
        }

    def play(self) -> Figures:
        """Until every run has ended."""
        for stage in Stage:
            devices = dict.fromkeys(self.site.devices, tuple(Stage))
            self._to_scheduler(WorkerBeat(
                worker=str(stage), at=0.0, stage=stage, devices=devices, slots=self.world.slots
            ))
        for run in self.runs.values():
            self.clock.after(0.0, run.begin)
        open_ = list(self.runs.values())
        while open_ and self.clock.step():
            if open_[-1].over:
                open_ = [run for run in open_ if not run.over]
        return figures(self)

    def _load(self) -> tuple[int, int]:
        """Jobs all workers take at once, candidates without an outcome."""
        return 2 * self.world.slots, len(self.core.book.requests)

    def plan_of(self, who: Identity) -> Candidate:
        return self.runs[who.run].plans[who.candidate]

    # ---- messages

    def _from_worker(self, message: Message) -> None:
        if isinstance(message, Verdict | Profile):
            self._to_run(message)
        self._to_scheduler(message)

    def _to_run(self, result: Verdict | Profile) -> None:
        self.clock.after(self.world.message_seconds, partial(self.runs[result.run].result, result))

    def _to_scheduler(self, message: Message) -> None:
        self.clock.after(self.world.message_seconds, partial(self._observe, message))

    def _observe(self, message: Message) -> None:
        self.core.observe(message, self.clock.now)
        if not self._acting:
            self._acting = True
            self.clock.after(0.0, self._act)

    def _act(self) -> None:
        self._acting = False
        for effect in self.core.act(self.clock.now):
            self.clock.after(self.world.message_seconds, partial(self._perform, effect))
        self._plan_look()

    def _plan_look(self) -> None:
        """As the service does: once more shortly after news, else at every tick."""
        if not self._look_planned:
            self._look_planned = True
            self.clock.after(self.settings.pool_seconds, self._look)

    def _look(self) -> None:
        self._look_planned = False
        effects = self.core.act(self.clock.now)
        for effect in effects:
            self.clock.after(self.world.message_seconds, partial(self._perform, effect))
        if effects:
            self._plan_look()
        else:
            self._look_planned = True
            self.clock.after(self.settings.tick_seconds, self._look)

    # ---- what the scheduler asks for

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Issue():
                self.site.publish(effect.request.identity, effect.attempt, effect.priority)
            case Withdraw():
                self.site.withdraw(lambda who: who.run == effect.run and who.iteration <= effect.iteration)
            case Revoke():
                self._revoke(effect)
            case GiveUp():
                self._give_up(effect)
            case Assign():
                self.role_changes += [(self.clock.now, name, effect.roles[name]) for name in effect.changed]
                self.site.assign(effect.roles)

    def _revoke(self, effect: Revoke) -> None:
        who = effect.identity
        self.runs[who.run].revoked(AttemptRevoked(
            worker="scheduler", at=self.clock.now, stage=who.stage, run=who.run, iteration=who.iteration,
            candidate=who.candidate, attempt=effect.attempt, reason=effect.reason,
        ))
        self.site.withdraw(lambda other: other == who)

    def _give_up(self, effect: GiveUp) -> None:
        who = effect.request.identity
        kind = Verdict if who.stage is Stage.VALIDATE else Profile
        self._to_run(kind(
            run=who.run, iteration=who.iteration, candidate=who.candidate, attempt=effect.request.attempt + 1,
            at=self.clock.now, worker="scheduler", device=None, lease=None, queue_seconds=0.0,
            judgement=Judgement(outcome=Outcome.INFRASTRUCTURE_ERROR, feedback=_LOST),
        ))
