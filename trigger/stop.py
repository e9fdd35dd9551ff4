"""Stop policies: is a measured candidate good enough to end its iteration? Pure functions of numbers.

`mean` is the published criterion, speedup > mean(H) over the run's earlier valid kernels. Published, H starts as {0},
so that the first valid kernel of a run stops its iteration however slow it is. Here a guard stands in the first
iterations: until H holds three kernels no bar is below 1.0, eager's own speed (`first` has no bar at all).
"""
from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from common.messages import Measurement
from trigger.effects import Stop

GUARDED = 3
"""Valid kernels that a run must have before its bar may be lower than eager's speed."""
EAGER = 1.0

Policy = Callable[[Measurement, tuple[float, ...]], dict[str, float] | None]
"""The numbers that justify a stop, or None."""


def mean_bar(H: tuple[float, ...]) -> float:
    """What `mean` compares with: mean(H), guarded."""
    return _guarded(fmean(H) if H else EAGER, H)


def mean(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    return _clears(measured.speedup, mean_bar(H), H)


def best(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    """Faster than every earlier kernel of the run."""
    return _clears(measured.speedup, _guarded(max(H, default=EAGER), H), H)


def first(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    """The first valid kernel, however slow."""
    return {"speedup": measured.speedup, "bar": 0.0, "valid_before": float(len(H))}


def never(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    return None


def confident(measured: Measurement, H: tuple[float, ...]) -> dict[str, float] | None:
    """The whole confidence interval of the speedup clears the bar of `mean`."""
    numbers = _clears(measured.low, mean_bar(H), H)
    return numbers and {**numbers, "speedup": measured.speedup, "low": measured.low}


POLICIES: dict[str, Policy] = {"mean": mean, "first": first, "best": best, "never": never, "confident": confident}


def decide(policy: str, candidate: str, measured: Measurement, H: tuple[float, ...]) -> Stop | None:
    """The stop that `policy` wants for a measured candidate; KeyError where no policy has that name."""
    numbers = POLICIES[policy](measured, H)
    return None if numbers is None else Stop(candidate=candidate, reason=policy, numbers=numbers)


def _guarded(bar: float, H: tuple[float, ...]) -> float:
    return max(bar, EAGER) if len(H) < GUARDED else bar


def _clears(speedup: float, bar: float, H: tuple[float, ...]) -> dict[str, float] | None:
    return {"speedup": speedup, "bar": bar, "valid_before": float(len(H))} if speedup > bar else None
