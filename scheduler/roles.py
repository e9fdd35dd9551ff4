"""Which stages each device serves. Pure.

A device that can serve one stage only serves it. The others are split by what waits, G_val = round(G * L_val /
(L_val + L_prof)), at least one for each stage while there are two or more (arXiv 2606.17518, section on reallocation:
our reading). With a single such device both stages share it by lease.
"""
from __future__ import annotations

from collections.abc import Mapping

from common.messages import Stage

BOTH = (Stage.VALIDATE, Stage.PROFILE)
Roles = dict[str, tuple[Stage, ...]]


def assign(capable: Mapping[str, frozenset[Stage]], waiting: Mapping[Stage, int], now: Roles) -> Roles:
    """Roles for the devices in `capable`, changing as few of the present roles as the split allows."""
    flexible = sorted(device for device, stages in capable.items() if len(stages) == 2)
    roles: Roles = {device: tuple(sorted(stages)) for device, stages in capable.items() if len(stages) == 1}
    if len(flexible) == 1:
        elsewhere = {stage for stages in roles.values() for stage in stages}
        own = tuple(stage for stage in BOTH if stage not in elsewhere) or BOTH
        return roles | {flexible[0]: own}
    keep = sorted(flexible, key=lambda device: (now.get(device) != (Stage.VALIDATE,), device))
    validating = set(keep[: _validating(len(flexible), waiting)])
    return roles | {d: (Stage.VALIDATE,) if d in validating else (Stage.PROFILE,) for d in flexible}


def _validating(devices: int, waiting: Mapping[Stage, int]) -> int:
    validate, profile = waiting.get(Stage.VALIDATE, 0), waiting.get(Stage.PROFILE, 0)
    share = validate / (validate + profile) if validate + profile else 0.5
    return min(max(1, round(devices * share)), devices - 1) if devices else 0
