"""From a number of validating devices to a stage for each, changing as few as the number allows. Pure."""
from __future__ import annotations

from collections.abc import Sequence

from common.messages import Stage
from scheduler.fleet import Device
from scheduler.pools.policy import Loads


def stage_of(device: Device) -> Stage | None:
    """The one stage it serves, or None where it serves none yet, or both."""
    return device.role[0] if len(device.role) == 1 else None


def stages_of(devices: Sequence[Device], validating: int) -> dict[str, Stage]:
    """The stages as they are; devices that have none bring the number of validating ones towards `validating`."""
    stages = {device.id: stage for device in devices if (stage := stage_of(device))}
    for device in devices:
        if device.id not in stages:
            few = sum(stage is Stage.VALIDATE for stage in stages.values()) < validating
            stages[device.id] = Stage.VALIDATE if few else Stage.PROFILE
    return stages


def with_validating(devices: Sequence[Device], count: int) -> dict[str, Stage]:
    """`count` of the devices validate, those that do so now first; those that change are idle where possible."""
    ranked = sorted(devices, key=lambda d: (_rank(d), d.id))
    return {d.id: Stage.VALIDATE if n < count else Stage.PROFILE for n, d in enumerate(ranked)}


def _rank(device: Device) -> int:
    """Who gives up a role first: an idle device has none to finish."""
    stage, idle = stage_of(device), device.hold is None
    if stage is Stage.VALIDATE:
        return 1 if idle else 0
    if stage is Stage.PROFILE:
        return 3 if idle else 4
    return 2


def within(count: int, devices: int, loads: Loads) -> int:
    """At least one device for each stage, unless others serve it that can serve nothing else; and no more than its
    workers can use."""
    validate, profile = loads[Stage.VALIDATE], loads[Stage.PROFILE]
    count = max(count, devices - max(1, profile.slots - profile.fixed))
    count = min(count, max(1, validate.slots - validate.fixed))
    return min(max(0 if validate.fixed else 1, count), devices if profile.fixed else devices - 1)
