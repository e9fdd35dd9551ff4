"""From paired times to a speedup with an interval. Pure; the generator of random numbers is passed in.

Per pair the ratio is (reference - path) / (candidate - path), with `path` the median time of an empty call through the
same sockets and copies. The speedup is the median ratio; its interval is the bootstrap's percentiles
(Efron 1979), where each resample draws the pairs and the empty calls anew, so that the path's uncertainty is in it.

With few pairs those percentiles lie too close: a sample varies less than what it is drawn from. They are moved out as
Student's interval is (the expanded percentile interval; Hesterberg, "What Teachers Should Know About the Bootstrap",
The American Statistician 69, 2015): with confidence 1 - 2 a and n pairs the tails are Phi(-sqrt(n / (n - 1)) t), t the
quantile 1 - a of Student's distribution with n - 1 degrees of freedom.

Two processes of the very same code differ for as long as they live, which no number of pairs between them shows. Where
it is known by how much (`between`, a standard deviation), each resample adds a normal difference to the candidate's
times.

To look at the interval after every few pairs, and to stop when it happens to be narrow, would favour intervals that are
narrow by chance. So it is looked at seldom: from one look the number of pairs is planned at which it should be narrow
enough, as it shrinks with the square root of their number, and the next look is then (as in Stein's two-stage
procedure, 1945).
"""
from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Sequence
from statistics import NormalDist, median
from typing import NamedTuple

import numpy as np

from common.messages.judgement import Measurement

RESAMPLES = 1000
LEAST_SHARE = 0.05
"""A time counts as at least this share of itself, however long the path is said to be: below, only the path is seen."""


STEP = 4
"""Pairs are timed in steps of so many."""
_NORMAL = NormalDist()


class Pair(NamedTuple):
    """Seconds of one pair on equal inputs."""

    reference: float
    candidate: float


def measure(
    pairs: Sequence[Pair], empty: Sequence[float], confidence: float, rng: random.Random,
    between: Callable[[float], float] = lambda seconds: 0.0,
) -> Measurement:
    """The measurement over all pairs. `empty`: seconds; `between`: seconds, of the candidate's time in seconds.
    ValueError where there is no pair."""
    if not pairs:
        raise ValueError("no pair was timed")
    path = median(empty) if empty else 0.0
    seconds = median(net(pair.candidate, path) for pair in pairs)
    low, high = _interval(pairs, empty, confidence, rng, between(seconds))
    return Measurement(
        speedup=_ratio(pairs, path), low=low, high=high, confidence=confidence, pairs=len(pairs),
        candidate_ms=1e3 * seconds,
        reference_ms=1e3 * median(net(pair.reference, path) for pair in pairs),
    )


def net(seconds: float, path: float) -> float:
    """Time without the path's."""
    return max(seconds - path, LEAST_SHARE * seconds)


def _ratio(pairs: Sequence[Pair], path: float) -> float:
    return median(net(pair.reference, path) / net(pair.candidate, path) for pair in pairs)


def _interval(
    pairs: Sequence[Pair], empty: Sequence[float], confidence: float, rng: random.Random, between: float,
) -> tuple[float, float]:
    generator = np.random.default_rng(rng.getrandbits(64))
    draw, paths = generator.integers, np.zeros((RESAMPLES, 1))
    if empty:
        paths = np.median(np.array(empty)[draw(len(empty), size=(RESAMPLES, len(empty)))], axis=1, keepdims=True)
    times = np.array(pairs)[draw(len(pairs), size=(RESAMPLES, len(pairs)))]
    times[:, :, 1] += generator.normal(0.0, between, size=(RESAMPLES, 1))
    nets = np.maximum(times - paths[:, :, None], LEAST_SHARE * times)
    drawn = np.sort(np.median(nets[:, :, 0] / nets[:, :, 1], axis=1))
    cut = int(tail(confidence, len(pairs)) * RESAMPLES)
    return float(drawn[cut]), float(drawn[-1 - cut])


def tail(confidence: float, count: int) -> float:
    """Share of the resamples to leave out at each end, for a sample of `count`."""
    if count < 2:
        return 0.0
    return _NORMAL.cdf(-math.sqrt(count / (count - 1)) * student((1 + confidence) / 2, count - 1))


def student(share: float, freedom: int) -> float:
    """A quantile of Student's distribution, by its expansion about the normal one (Abramowitz and Stegun 26.7.5); to
    within 0.01 from 4 degrees of freedom on."""
    z, f = _NORMAL.inv_cdf(share), freedom
    return (
        z + (z**3 + z) / (4 * f) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * f**3)
    )


def missing(measurement: Measurement, width: float) -> int:
    """How many more pairs it should take until the interval is no wider than this share of the speedup; 0 if it is.
    No interval is as narrow as 0."""
    if width <= 0:
        return sys.maxsize
    times = (measurement.high - measurement.low) / (width * measurement.speedup)
    if times <= 1.0:
        return 0
    return STEP * math.ceil(measurement.pairs * (times**2 - 1) / STEP)
