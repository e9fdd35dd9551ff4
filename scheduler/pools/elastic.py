"""Ours: a device is given to a stage when it is free, and to profiling before validation.

A profile is the last thing a candidate waits for, and one good profile ends its iteration and everything else of it; a
verdict only leads to a profile. So profiling gets as many devices as it has ready work, validation the others, and at
least one while it has work. Five rules, in this order.
1. Idle validating devices go to profiling as far as that is short of idle ones.
2. Idle profiling devices beyond what is ready there go to validation as far as that is short.
3. A stage with ready work and no device gets the next one that is idle, whatever else waits.
4. What is still short waits for the next device to be free: which one that is nobody knows, so none is chosen ahead.
   But where validators hold jobs that would take a device the moment it is free, devices are told to change during
   their job: those held longest, once more than `hysteresis` of them are wanted. They finish it first.
5. With nothing ready anywhere, idle devices are sent ahead where more requests are expected than idle devices are
   there, from the generations under way and their usual length.
A device keeps its role for `dwell_seconds`, so that it changes at most once in that time whatever comes.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.messages import Stage
from scheduler.fleet import Device
from scheduler.pools.policy import Loads, other
from scheduler.pools.split import stages_of
from scheduler.settings import SchedulerSettings

V, P = Stage.VALIDATE, Stage.PROFILE


class Elastic:
    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings

    def watch(self, queue: Mapping[Stage, int]) -> None:
        pass

    def round_ended(self) -> None:
        pass

    def divide(self, devices: Sequence[Device], loads: Loads, now: float) -> dict[str, Stage]:
        stages = stages_of(devices, round(len(devices) / 2))
        plan = Plan(devices, stages, loads, now - self._settings.dwell_seconds)
        slack = max(1, round(self._settings.hysteresis * len(devices)))
        plan.lend()
        plan.rescue()
        plan.drain(slack)
        plan.send_ahead(slack)
        return plan.stages


class Plan:
    """The stages as they are, changed step by step. Devices whose role is older than `since` may change."""

    def __init__(self, devices: Sequence[Device], stages: dict[str, Stage], loads: Loads, since: float) -> None:
        self.stages = stages
        self._loads = loads
        self._since = since
        self._idle: dict[Stage, list[Device]] = {stage: [] for stage in Stage}
        self._busy: dict[Stage, list[Device]] = {stage: [] for stage in Stage}
        for device in devices:
            (self._idle if device.hold is None else self._busy)[stages[device.id]].append(device)

    def _short(self, stage: Stage) -> int:
        """Ready requests beyond the idle devices."""
        load = self._loads[stage]
        return load.ready - load.idle - len(self._idle[stage])

    def _count(self, stage: Stage) -> int:
        return self._loads[stage].fixed + len(self._idle[stage]) + len(self._busy[stage])

    def _usable(self, stage: Stage) -> int:
        """Devices more that the stage's workers could use."""
        return self._loads[stage].slots - self._count(stage)

    def _spare(self, stage: Stage) -> int:
        """Devices it can give away: all but one while it has work."""
        return self._count(stage) - (1 if self._loads[stage].ready else 0)

    def _move(self, group: dict[Stage, list[Device]], stage: Stage, count: int) -> None:
        """Up to `count` of the group to `stage`, those held longest first."""
        movable = [device for device in group[other(stage)] if device.role_since <= self._since]
        movable.sort(key=lambda device: device.hold.since if device.hold else 0.0)
        for device in movable[: max(0, count)]:
            group[other(stage)].remove(device)
            group[stage].append(device)
            self.stages[device.id] = stage

    def lend(self) -> None:
        self._move(self._idle, P, min(self._short(P), self._usable(P), self._spare(V)))
        self._move(self._idle, V, min(self._short(V), self._usable(V), -self._short(P)))

    def rescue(self) -> None:
        for stage in Stage:
            if self._loads[stage].ready and not self._count(stage):
                self._move(self._idle, stage, 1)

    def drain(self, slack: int) -> None:
        for stage in Stage:
            giver = other(stage)
            wanted = min(self._short(stage), self._usable(stage), self._spare(giver))
            urgent = not self._count(stage)
            if not self._loads[giver].in_hand or wanted <= (0 if urgent else slack):
                continue
            if stage is P or urgent:
                self._move(self._busy, stage, wanted if stage is P else 1)

    def send_ahead(self, slack: int) -> None:
        if any(self._short(stage) > 0 for stage in Stage):
            return
        for stage in Stage:
            giver = other(stage)
            missing = round(self._loads[stage].coming) - len(self._idle[stage])
            surplus = len(self._idle[giver]) - round(self._loads[giver].coming)
            if missing > 0 and surplus > slack:
                self._move(self._idle, stage, min(missing, surplus, self._usable(stage)))
