"""Ours: idle devices go at once where work is ready; busy ones change when the split is wrong by more than a little.

Three rules, in this order.
1. A stage with ready work and no device gets one, an idle one if there is any.
2. Idle devices whose stage has less ready than idle devices serve the other stage where that has more. They have
   nothing to finish, so this costs next to nothing.
3. Where both stages have more ready than idle devices, the split is compared with the work: device-seconds queued and
   those expected within the horizon from the generations under way. Where it is off by more than `hysteresis` of the
   devices it is set right; a busy device finishes its job first. Where neither has ready work, the same comparison
   sends idle devices ahead.
A device keeps its role for `dwell_seconds`, so that it changes at most once in that time whatever comes.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.messages import Stage
from scheduler.fleet import Device
from scheduler.pools.policy import Load, Loads, other
from scheduler.pools.split import stages_of, within
from scheduler.settings import SchedulerSettings


class Elastic:
    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings

    def watch(self, queue: Mapping[Stage, int]) -> None:
        pass

    def round_ended(self) -> None:
        pass

    def divide(self, devices: Sequence[Device], loads: Loads, now: float) -> dict[str, Stage]:
        wanted = within(_wanted(len(devices), loads), len(devices), loads)
        plan = Plan(devices, stages_of(devices, wanted), loads, now - self._settings.dwell_seconds)
        plan.rescue()
        plan.lend()
        plan.level(wanted, slack=max(1, round(self._settings.hysteresis * len(devices))))
        return plan.stages


def _wanted(devices: int, loads: Loads) -> int:
    """Validating devices among these, by the work of each stage."""
    work = {stage: _work(load) for stage, load in loads.items()}
    total = sum(work.values())
    share = work[Stage.VALIDATE] / total if total else 0.5
    everything = devices + sum(load.fixed for load in loads.values())
    return round(everything * share) - loads[Stage.VALIDATE].fixed


def _work(load: Load) -> float:
    """Device-seconds."""
    return (load.queue + load.coming) * load.seconds


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

    def _usable(self, stage: Stage) -> int:
        """Devices more that the stage's workers could use."""
        load = self._loads[stage]
        return load.slots - load.fixed - len(self._idle[stage]) - len(self._busy[stage])

    def _move(self, group: dict[Stage, list[Device]], device: Device, stage: Stage) -> None:
        group[other(stage)].remove(device)
        group[stage].append(device)
        self.stages[device.id] = stage

    def _movable(self, group: dict[Stage, list[Device]], stage: Stage) -> list[Device]:
        return [device for device in group[stage] if device.role_since <= self._since]

    def rescue(self) -> None:
        for stage in Stage:
            load, giver = self._loads[stage], other(stage)
            if not load.ready or load.fixed or self._idle[stage] or self._busy[stage]:
                continue
            group = self._idle if self._movable(self._idle, giver) else self._busy
            for device in self._movable(group, giver)[:1]:
                self._move(group, device, stage)

    def lend(self) -> None:
        for stage in Stage:
            giver = other(stage)
            count = min(self._short(stage), -self._short(giver), self._usable(stage))
            for device in self._movable(self._idle, giver)[: max(0, count)]:
                self._move(self._idle, device, stage)

    def level(self, wanted: int, slack: int) -> None:
        """Towards `wanted` validating devices."""
        short = [self._short(stage) > 0 for stage in Stage]
        if any(short) and not all(short):
            return
        group = self._busy if all(short) else self._idle
        surplus = len(self._idle[Stage.VALIDATE]) + len(self._busy[Stage.VALIDATE]) - wanted
        giver = Stage.VALIDATE if surplus > 0 else Stage.PROFILE
        if abs(surplus) > slack:
            for device in self._movable(group, giver)[: abs(surplus)]:
                self._move(group, device, other(giver))
