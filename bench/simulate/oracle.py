"""A scheduler with perfect foresight, to compare with.

It knows of every waiting candidate whether it passes, how fast it will be and how long each stage takes. Devices serve
whatever is most useful next, without roles and without the time a change of role takes. Runs that are `_BEHIND`
iterations behind the others go first, since the last run decides when all are done; then what will end its iteration,
the one that will do so soonest before others; then main answers, which the iteration waits for; then what passes; the
rest last, in each case the shortest first. It does not know what is not proposed yet and it does not interrupt a job.
That is list scheduling by a clairvoyant, not the best plan there is: `bounds.py` says how far from that it is at most.
"""
from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from common.messages import Stage
from scheduler.chance import EAGER
from scheduler.core import Scheduler
from scheduler.effects import Assign, Effect, Issue
from scheduler.requests import Request
from scheduler.settings import SchedulerSettings

if TYPE_CHECKING:
    from bench.simulate.system import System


_BEHIND = 2


class Oracle(Scheduler):
    def __init__(self, settings: SchedulerSettings, system: System) -> None:
        super().__init__(settings)
        self._system = system
        self._assigned = False

    def act(self, now: float) -> list[Effect]:
        effects, self._pending = self._pending, []
        if not self._assigned and self.fleet.devices:
            self._assigned = True
            roles = {name: tuple(Stage) for name in self.fleet.devices}
            effects.append(Assign(1, roles, dict.fromkeys(roles, "oracle"), {}))
        waiting = [r for lanes in self.book.waiting.values() for lane in lanes.of_run.values()
                   for r in (*lane.urgent, *lane.speculative)]
        free = len(self.fleet.devices) - sum(map(len, self.book.issued.values()))
        for request in sorted(waiting, key=self._rank)[: max(0, free)]:
            self.book.issue(request, now)
            effects.append(Issue(request, request.attempt, 0, self._seconds(request)))
        return effects

    def _rank(self, request: Request) -> tuple[float, ...]:
        return self.runs[request.identity.run].over // _BEHIND, *self._use(request)

    def _use(self, request: Request) -> tuple[float, float]:
        plan = self._system.plan_of(request.identity)
        left = plan.profile if request.identity.stage is Stage.PROFILE else plan.validate + plan.profile
        if plan.passes and self._ends(request):
            return (0, left)
        if request.proposed.origin == "main" or self.runs[request.identity.run].answered:
            return (1, left if plan.passes else plan.validate)
        return (2 if plan.passes else 3, left)

    def _ends(self, request: Request) -> bool:
        run = self.runs[request.identity.run]
        bar = fmean(run.H) if run.H else EAGER
        return self._system.world.stop != "never" and self._system.plan_of(request.identity).speedup > bar

    def _seconds(self, request: Request) -> float:
        plan = self._system.plan_of(request.identity)
        return plan.profile if request.identity.stage is Stage.PROFILE else plan.validate
