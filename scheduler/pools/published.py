"""The published rule, as we read it (arXiv 2606.17518, reallocation).

At each round's end the devices are split by the round's longest queues, G_val = round(G * L_val / (L_val + L_prof)), at
least one a stage; evenly where both were empty. A round is an iteration; with several runs at once, the time between
two ends of iterations of any of them. How long a window it looks at and whether it has hysteresis is not said: it has
none here.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.messages import Stage
from scheduler.fleet import Device
from scheduler.pools.policy import Loads
from scheduler.pools.split import stage_of, with_validating, within


class Published:
    def __init__(self) -> None:
        self._longest = dict.fromkeys(Stage, 0)
        self._due = True

    def watch(self, queue: Mapping[Stage, int]) -> None:
        self._longest = {stage: max(self._longest[stage], queue[stage]) for stage in Stage}

    def round_ended(self) -> None:
        self._due = True

    def divide(self, devices: Sequence[Device], loads: Loads, now: float) -> dict[str, Stage]:
        present = sum(stage_of(device) is Stage.VALIDATE for device in devices)
        unknown = any(stage_of(device) is None for device in devices)
        count = self._share(len(devices)) if self._due or unknown else present
        return with_validating(devices, within(count, len(devices), loads))

    def _share(self, devices: int) -> int:
        validate, profile = self._longest[Stage.VALIDATE], self._longest[Stage.PROFILE]
        self._due, self._longest = False, dict.fromkeys(Stage, 0)
        return round(devices * validate / (validate + profile)) if validate + profile else round(devices / 2)
