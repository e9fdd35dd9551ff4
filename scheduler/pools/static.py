"""An even split that stays: what the others are compared with."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.messages import Stage
from scheduler.fleet import Device
from scheduler.pools.policy import Loads
from scheduler.pools.split import with_validating, within


class Static:
    def watch(self, queue: Mapping[Stage, int]) -> None:
        pass

    def round_ended(self) -> None:
        pass

    def divide(self, devices: Sequence[Device], loads: Loads, now: float) -> dict[str, Stage]:
        return with_validating(devices, within(round(len(devices) / 2), len(devices), loads))
