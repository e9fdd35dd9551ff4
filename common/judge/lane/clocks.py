"""Whether a GPU's clocks gave both sides of a pair the same chance. Pure; `nvml.py` reads them.

A pair is unfair where the device was throttled in one of its windows and the two windows ran at different clocks: the
mean of a window's SM clocks (MHz, before and after it) differs by more than `TOLERATED` of the higher, or the memory's
does. A device at its power limit all the time throttles both sides alike, which leaves the ratio as it is. Different
clocks where nothing throttled are what is read of a device that falls idle, after the window.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

TOLERATED = 0.02
"""Above the step between two clocks (15 MHz of about 2,000), below what shows in a figure."""

REASONS = {
    0x1: "gpu_idle", 0x2: "applications_clocks_setting", 0x4: "sw_power_cap", 0x8: "hw_slowdown", 0x10: "sync_boost",
    0x20: "sw_thermal_slowdown", 0x40: "hw_thermal_slowdown", 0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
"""Bits of NVML's clocks event reasons (nvml.h, nvmlClocksEventReason*)."""
THROTTLES = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""Those that hold the clocks down by the device's own condition. An idle device's low clocks, and limits that somebody
set, are not among them."""


class Reading(NamedTuple):
    """At one moment: clocks in MHz, degrees Celsius, NVML's bits."""

    sm: int
    memory: int
    temperature: int
    reasons: int


class Window(NamedTuple):
    """Readings right before and right after one side's timed calls."""

    before: Reading
    after: Reading

    @property
    def sm(self) -> float:
        return (self.before.sm + self.after.sm) / 2

    @property
    def memory(self) -> float:
        return (self.before.memory + self.after.memory) / 2

    @property
    def reasons(self) -> int:
        return self.before.reasons | self.after.reasons


class Sides(NamedTuple):
    """Of one pair."""

    reference: Window
    candidate: Window


def throttled(clocks: Sides) -> bool:
    """Whether throttling gave the sides different clocks."""
    one, other = clocks
    return bool((one.reasons | other.reasons) & THROTTLES) and (
        _differ(one.sm, other.sm) or _differ(one.memory, other.memory)
    )


def _differ(one: float, other: float) -> bool:
    return abs(one - other) > TOLERATED * max(one, other)


def record(pairs: Sequence[Sides]) -> dict[str, Any]:
    """Medians by side in MHz, the highest temperature, and in how many windows each reason was given."""
    sides = {"reference": [pair.reference for pair in pairs], "candidate": [pair.candidate for pair in pairs]}
    windows = [window for side in sides.values() for window in side]
    return {
        "sm_mhz": {name: median(window.sm for window in side) for name, side in sides.items()},
        "memory_mhz": {name: median(window.memory for window in side) for name, side in sides.items()},
        "temperature_c": max(window.after.temperature for window in windows),
        "reasons": _counted(window.reasons for window in windows),
        "windows": len(windows),
    }


def _counted(reasons: Iterable[int]) -> dict[str, int]:
    seen = list(reasons)
    counts = {name: sum(bool(bits & bit) for bits in seen) for bit, name in REASONS.items()}
    return {name: count for name, count in counts.items() if count}
