"""Workers that are alive, devices and their states. Pure.

A device is idle, validating, profiling, draining (held by a stage it no longer serves) or quarantined.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from common.messages import LeaseReleased, LeaseTaken, Stage, WorkerBeat
from scheduler.quarantine import Health
from scheduler.requests import Identity
from scheduler.settings import SchedulerSettings

State = Literal["idle", "validating", "profiling", "draining", "quarantined"]
_WORKING: dict[Stage, State] = {Stage.VALIDATE: "validating", Stage.PROFILE: "profiling"}
BOTH = frozenset(Stage)
Roles = dict[str, tuple[Stage, ...]]


@dataclass(frozen=True)
class Hold:
    """A lease somebody has."""

    worker: str
    lease: int
    identity: Identity
    campaign: str
    since: float


@dataclass(eq=False)
class Device:
    id: str
    stages: frozenset[Stage]
    role: tuple[Stage, ...] = ()
    role_since: float = float("-inf")
    hold: Hold | None = None
    health: Health = field(default_factory=Health)

    @property
    def state(self) -> State:
        if self.health.out:
            return "quarantined"
        if self.hold is None:
            return "idle"
        stage = self.hold.identity.stage
        return _WORKING[stage] if stage in self.role else "draining"

    @property
    def flexible(self) -> bool:
        return self.stages == BOTH


class Fleet:
    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings
        self._heard: dict[str, float] = {}
        self.workers: dict[str, WorkerBeat] = {}
        self.devices: dict[str, Device] = {}
        self.slots = dict.fromkeys(Stage, 0)
        """Jobs the workers of a stage take at once, together."""
        self.serving = dict.fromkeys(Stage, 0)
        """Devices whose role includes the stage."""

    def beat(self, beat: WorkerBeat, now: float) -> None:
        self._heard[beat.worker] = now
        known = self.workers.get(beat.worker)
        self.workers[beat.worker] = beat
        if known is None or (known.slots, known.devices) != (beat.slots, beat.devices):
            self._count()

    def left(self, worker: str) -> None:
        if self.workers.pop(worker, None) is not None:
            del self._heard[worker]
            for device in self.devices.values():
                if device.hold and device.hold.worker == worker:
                    device.hold = None
            self._count()

    def drop_silent(self, now: float) -> None:
        limit = now - self._settings.worker_timeout
        for worker in [name for name, heard in self._heard.items() if heard < limit]:
            self.left(worker)

    def _count(self) -> None:
        """What the workers bring, together. Workers of both stages on one host bring the same devices."""
        self.slots = dict.fromkeys(Stage, 0)
        able: dict[str, set[Stage]] = {}
        for beat in self.workers.values():
            self.slots[beat.stage] += beat.slots
            for name, stages in beat.devices.items():
                able.setdefault(name, set()).update(stages)
        for name in self.devices.keys() - able.keys():
            del self.devices[name]
        for name, served in able.items():
            self.devices.setdefault(name, Device(name, BOTH)).stages = frozenset(served)

    def taken(self, message: LeaseTaken, campaign: str, now: float) -> Identity:
        identity = Identity(message.stage, message.run, message.iteration, message.candidate)
        if device := self.devices.get(message.device):
            device.hold = Hold(message.worker, message.lease, identity, campaign, now)
        return identity

    def released(self, message: LeaseReleased) -> Hold | None:
        """The hold that ended, or None where it is not the one known of."""
        device = self.devices.get(message.device)
        if device is None or device.hold is None or device.hold.lease != message.lease:
            return None
        hold, device.hold = device.hold, None
        return hold

    def could_serve(self, stage: Stage) -> bool:
        """Whether a device that is in use is able to."""
        return any(device.role and stage in device.stages for device in self.devices.values())

    def running_jobs(self) -> set[str]:
        return {job for beat in self.workers.values() for job in beat.jobs}

    def take_over(self, roles: Roles) -> None:
        """A device that is new here keeps the role a former scheduler gave it, until it is given another."""
        for device in self.devices.values():
            if not device.role:
                device.role = roles.get(device.id, ())

    def assign(self, roles: Roles, now: float) -> list[str]:
        """Give the devices their roles; those whose role is new."""
        changed = [device for device in self.devices.values() if device.role != roles.get(device.id, ())]
        for device in changed:
            device.role, device.role_since = roles.get(device.id, ()), now
        self.serving = {stage: sum(stage in d.role for d in self.devices.values()) for stage in Stage}
        return [device.id for device in changed]
