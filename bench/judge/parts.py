"""What a figure is made of: how long each part of a window takes, and how much that varies. Pure."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any


def parts(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """From a profile's record: microseconds a call, of both sides, by part. `window`: by the judge's clock; `span`: by
    the process's own; `around`: the judge's copies; `launch`: the host's way to the device, not on that clock;
    `path`: an empty call, of which the reference's is taken off. `spread` is the interquartile range of each side."""
    sides = {
        name: [[pair[side] for pair in record[f"{key}_ms"]] for side in (0, 1)]
        for name, key in (("window", "pairs"), ("span", "spans"), ("around", "around"), ("launch", "launches"))
    } | {"path": [record["path_ms"], record["candidate_path_ms"]]}
    return {
        name: {"median": [_us(median(of)) for of in values], "spread": [_us(_spread(of)) for of in values]}
        for name, values in sides.items()
    }


def _us(milliseconds: float) -> float:
    return round(1e3 * milliseconds, 3)


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4)
    return high - low
