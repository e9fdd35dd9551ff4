"""Percentiles, without numpy."""
from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile; `share` between 0 and 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def latency_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Median, tail and worst of latencies given in seconds, in milliseconds."""
    if not seconds:
        return {}
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(1000 * percentile(seconds, share), 3) for name, share in shares.items()}
