"""From paired times to a speedup with an interval. Pure; the generator of random numbers is passed in.

Per pair the ratio is (reference - path) / (candidate - path), with `path` the median time of an empty call through the
same sockets and copies. The speedup is the median ratio; its interval is the bootstrap's percentiles
(Efron 1979), where each resample draws the pairs and the empty calls anew, so that the path's uncertainty is in it.
"""
from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from common.messages.judgement import Measurement

RESAMPLES = 1000
LEAST_SHARE = 0.05
"""A time counts as at least this share of itself, however long the path is said to be: below, only the path is seen."""


class Pair(NamedTuple):
    """Seconds of one pair on equal inputs."""

    reference: float
    candidate: float


def measure(pairs: Sequence[Pair], empty: Sequence[float], confidence: float, rng: random.Random) -> Measurement:
    """The measurement over all pairs. ValueError where there is no pair."""
    if not pairs:
        raise ValueError("no pair was timed")
    path = median(empty) if empty else 0.0
    low, high = _interval(pairs, empty, confidence, rng)
    return Measurement(
        speedup=_ratio(pairs, path), low=low, high=high, confidence=confidence, pairs=len(pairs),
        candidate_ms=1e3 * median(net(pair.candidate, path) for pair in pairs),
        reference_ms=1e3 * median(net(pair.reference, path) for pair in pairs),
    )


def net(seconds: float, path: float) -> float:
    """Time without the path's."""
    return max(seconds - path, LEAST_SHARE * seconds)


def _ratio(pairs: Sequence[Pair], path: float) -> float:
    return median(net(pair.reference, path) / net(pair.candidate, path) for pair in pairs)


def _interval(
    pairs: Sequence[Pair], empty: Sequence[float], confidence: float, rng: random.Random
) -> tuple[float, float]:
    drawn = sorted(
        _ratio(rng.choices(pairs, k=len(pairs)), median(rng.choices(empty, k=len(empty))) if empty else 0.0)
        for _ in range(RESAMPLES)
    )
    cut = int((1 - confidence) / 2 * RESAMPLES)
    return drawn[cut], drawn[-1 - cut]


def settled(measurement: Measurement, width: float) -> bool:
    """Whether the interval is narrower than `width`, a share of the speedup."""
    return measurement.high - measurement.low <= width * measurement.speedup
