"""The regular look at workers, devices and roles, a few times a second at most. Pure but for the fleet it keeps."""
from __future__ import annotations

from common.messages import AttemptFailed, Stage
from scheduler.book import Book
from scheduler.effects import Assign, Effect, Tell
from scheduler.estimates import Estimates
from scheduler.fleet import Fleet, Roles
from scheduler.loads import depth, loads_of
from scheduler.pools import Load, Policy
from scheduler.roles import roles_of
from scheduler.settings import SchedulerSettings


class Watch:
    def __init__(
        self, settings: SchedulerSettings, book: Book, fleet: Fleet, estimates: Estimates, pools: Policy
    ) -> None:
        self._settings = settings
        self._book = book
        self._fleet = fleet
        self._estimates = estimates
        self._pools = pools
        self._next = float("-inf")
        self._epoch = 0
        self._roles: Roles = {}
        self._why: dict[str, str] = {}
        self._told: Tell | None = None

    def adopt(self, roles: Roles, epoch: int, now: float) -> None:
        """Another scheduler assigned these; nothing changes until its workers had the time to be heard."""
        self._roles, self._epoch = roles, epoch
        self._next = now + self._settings.settle_seconds

    def failed(self, message: AttemptFailed, now: float) -> None:
        """A device that is taken out is out before the next attempt goes out."""
        device = self._fleet.devices.get(message.device or "")
        who = (message.run, message.candidate)
        if device and device.health.failure(who, hint=message.quarantine, settings=self._settings, now=now):
            self._why[device.id] = f"quarantined: {message.reason}"
            self._next = min(self._next, now)

    def succeeded(self, device: str | None) -> None:
        if known := self._fleet.devices.get(device or ""):
            known.health.succeeded()

    def look(self, now: float, *, full: bool) -> list[Effect]:
        self._pools.watch({stage: self._book.queue(stage) for stage in Stage})
        if now < self._next:
            return []
        self._next = now + self._settings.pool_seconds
        self._fleet.drop_silent(now)
        for device in self._fleet.devices.values():
            if device.health.let_in(now):
                self._why[device.id] = "let in for a trial"
        return [*self._reassign(now), *self._tell(full)]

    def _reassign(self, now: float) -> list[Effect]:
        coming = self._estimates.coming(self._settings.horizon_seconds, now)
        loads = loads_of(self._book, self._fleet, self._estimates, coming, now)
        self._fleet.take_over(self._roles)
        roles = roles_of(self._fleet.devices.values(), self._pools, loads, now)
        changed = self._fleet.assign(roles, now)
        if roles == self._roles:
            return []
        self._roles, self._epoch = roles, self._epoch + 1
        why = {device: self._why.pop(device, self._settings.pools) for device in changed}
        return [Assign(self._epoch, roles, why, _numbers(loads))]

    def _tell(self, full: bool) -> list[Effect]:
        told = depth(self._book, self._fleet, self._estimates, self._settings.waiting_limit, full=full)
        if told == self._told:
            return []
        self._told = told
        return [told]


def _numbers(loads: dict[Stage, Load]) -> dict[str, float]:
    """What the decision was computed from, for the record."""
    names = ("queue", "ready", "coming", "seconds")
    return {f"{name}_{stage}": float(getattr(load, name)) for stage, load in loads.items() for name in names}
