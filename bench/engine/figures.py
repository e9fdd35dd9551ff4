"""Samples as a report has them."""
from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


def spread(values: Sequence[float], *, scale: float = 1.0, digits: int = 3) -> dict[str, float]:
    """Count, mean, quantiles and extremes of the values times `scale`; only the count where there are none."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * scale, digits)

    return {
        "n": len(ordered), "mean": round(fmean(ordered) * scale, digits), "p10": at(0.1), "p50": at(0.5),
        "p90": at(0.9), "p99": at(0.99), "max": at(1.0),
    }
