"""Stop policies: is a measured candidate good enough to end its iteration? Pure functions of numbers.

`mean` is the published criterion, speedup > mean(H) over the run's earlier valid kernels. Published, H starts as {0},
so that the first valid kernel of a run stops its iteration however slow it is; here the bar of an empty H is 1.0,
eager's own speed.
"""
from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from common.messages import Measurement
from trigger.effects import Stop

EMPTY_BAR = 1.0
"""Speedup to beat while the run has no valid kernel."""

Policy = Callable[[Measurement, tuple[float, ...]], dict[str, float] | None]
"""The numbers that justify a stop, or None."""


def mean(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    return _clears(measured.speedup, fmean(H) if H else EMPTY_BAR)


def best(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    """Faster than every earlier kernel of the run."""
    return _clears(measured.speedup, max(H, default=EMPTY_BAR))


def first(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    """The first valid kernel, however slow."""
    return {"speedup": measured.speedup, "bar": 0.0}


def never(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    return None


def confident(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    """The whole confidence interval of the speedup clears mean(H)."""
    numbers = _clears(measured.low, fmean(H) if H else EMPTY_BAR)
    return numbers and {**numbers, "speedup": measured.speedup, "low": measured.low}


POLICIES: dict[str, Policy] = {"mean": mean, "first": first, "best": best, "never": never, "confident": confident}


def decide(policy: str, candidate: str, measured: Measurement, H: tuple[float, ...]) -> Stop | None:
    """The stop that `policy` wants for a measured candidate; KeyError where no policy has that name."""
    numbers = POLICIES[policy](measured, H)
    return None if numbers is None else Stop(candidate=candidate, reason=policy, numbers=numbers)


def _clears(speedup: float, bar: float) -> dict[str, float] | None:
    return {"speedup": speedup, "bar": bar} if speedup > bar else None
