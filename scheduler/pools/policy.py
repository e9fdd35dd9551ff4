"""What a policy sees and says."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.messages import Stage
from scheduler.fleet import Device


@dataclass(frozen=True)
class Load:
    """A stage's work, as requests."""

    queue: int
    """Open and on no device."""
    ready: int
    """Of these, those that need nothing but a device: not those that are still being compiled."""
    seconds: float
    """Mean device time of one."""
    slots: int
    """Jobs the stage's workers take at once."""
    in_hand: int = 0
    """Of those that are ready, those a worker holds: they take a device of their stage the moment it is free."""
    coming: float = 0.0
    """Expected within the horizon from the generations under way."""
    fixed: int = 0
    """Devices that serve this stage and can serve no other."""
    idle: int = 0
    """Of these fixed ones, those that hold no job."""


Loads = Mapping[Stage, Load]


class Policy(Protocol):
    def watch(self, queue: Mapping[Stage, int]) -> None:
        """Called at every turn with the number of open requests on no device."""

    def round_ended(self) -> None:
        """An iteration of some run is over."""

    def divide(self, devices: Sequence[Device], loads: Loads, now: float) -> dict[str, Stage]:
        """The stage of each of two or more devices that can serve both."""


def other(stage: Stage) -> Stage:
    return Stage.PROFILE if stage is Stage.VALIDATE else Stage.VALIDATE
