"""The stages each device serves: what it can serve at all, then the pool policy. Pure."""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.messages import Stage
from scheduler.fleet import Device, Roles
from scheduler.pools import Load, Policy


def roles_of(devices: Iterable[Device], policy: Policy, loads: Mapping[Stage, Load], now: float) -> Roles:
    """A device that can serve one stage serves it; of those that can serve both the policy decides. A single one of
    these serves what no other does, or both in turn: whoever holds its lease. A device in quarantine serves nothing."""
    roles: Roles = {}
    flexible = []
    for device in devices:
        if device.health.out:
            roles[device.id] = ()
        elif device.flexible:
            flexible.append(device)
        else:
            roles[device.id] = tuple(device.stages)
    if len(flexible) == 1:
        unserved = tuple(stage for stage in Stage if not loads[stage].fixed)
        return roles | {flexible[0].id: unserved or tuple(Stage)}
    if flexible:
        roles |= {name: (stage,) for name, stage in policy.divide(flexible, loads, now).items()}
    return roles
