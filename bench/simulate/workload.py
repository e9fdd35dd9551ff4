"""What happens in an iteration, drawn from distributions by a seed. Pure.

Every draw has a key of its own (run, iteration, fork), so that two policies that differ in order and devices see the
same forks with the same outcomes and the same judging times.
"""
from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import msgspec

CHARS_PER_TOKEN = 4
_NEAR = 0.15
"""Spread of the speedups within a run, in ranks of the distribution over all runs."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles are evenly spaced from the least to the most."""

    made_by: str
    reasoning_tokens: tuple[float, ...]
    answer_tokens: tuple[float, ...]
    fork_tokens: tuple[float, ...]
    kernels: tuple[float, ...]
    """Completed kernel bodies in a reasoning: where the forks are."""
    depths: tuple[float, ...]
    """Where in the reasoning they are, 0 to 1."""
    main_passes: float
    direct_passes: float
    """Of answers without any reasoning."""
    speedups: tuple[float, ...]
    judge_seconds: tuple[float, ...]
    """Validating and timing one candidate that passes."""
    validation_share: float


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    tokens: float
    """Of the answer that brings it."""
    passes: bool
    speedup: float
    validate: float
    profile: float
    """Seconds on a device."""


class Iteration(msgspec.Struct, frozen=True, kw_only=True):
    reasoning: float
    """Tokens."""
    triggers: tuple[float, ...]
    """Tokens of reasoning after which a kernel is complete."""
    main: Candidate


def read(path: Path | None = None) -> Workload:
    return _read(path or Path(__file__).with_name("workload.json"))


@lru_cache
def _read(path: Path) -> Workload:
    return msgspec.json.decode(path.read_bytes(), type=Workload)


class Draws:
    """A run's future."""

    def __init__(
        self, workload: Workload, seed: int, run: str, service: float, wins: float | None = None
    ) -> None:
        self._workload = workload
        self._key = f"{seed}:{run}"
        self._service = service
        self._wins = wins
        self._rank = random.Random(self._key).random()
        """How well this run's task lends itself to speed."""

    def iteration(self, number: int) -> Iteration:
        w, rng = self._workload, random.Random(f"{self._key}:{number}")
        reasoning = at(w.reasoning_tokens, rng.random())
        count = round(at(w.kernels, rng.random()))
        triggers = tuple(sorted(reasoning * at(w.depths, rng.random()) for _ in range(count)))
        return Iteration(
            reasoning=reasoning, triggers=triggers, main=self._candidate(rng, number, w.answer_tokens, w.main_passes)
        )

    def fork(self, iteration: int, number: int, depth: float) -> Candidate:
        """`depth`: share of the reasoning it was cut at. At 0 it answers like a generation without reasoning, at 1 like
        the main answer, in between in proportion: an assumption, since no recording says what a fork answers."""
        w, rng = self._workload, random.Random(f"{self._key}:{iteration}:{number}")
        passes = w.direct_passes + depth * (w.main_passes - w.direct_passes)
        return self._candidate(rng, iteration, w.fork_tokens, passes)

    def _speedup(self, rng: random.Random, iteration: int) -> float:
        """Recorded ones, near each other within a run; or, with `wins`, 0.5 for those that shall not end an iteration
        and something better than all before for those that shall."""
        rank = min(1.0, max(0.0, rng.gauss(self._rank, _NEAR)))
        if self._wins is None:
            return at(self._workload.speedups, rank)
        return 2.0 + 0.01 * iteration if rng.random() < self._wins else 0.5

    def _candidate(
        self, rng: random.Random, number: int, tokens: tuple[float, ...], passes: float
    ) -> Candidate:
        w = self._workload
        judging = at(w.judge_seconds, rng.random()) * self._service
        return Candidate(
            tokens=at(tokens, rng.random()), passes=rng.random() < passes,
            speedup=self._speedup(rng, number),
            validate=judging * w.validation_share, profile=judging * (1 - w.validation_share),
        )


def at(quantiles: tuple[float, ...], rank: float) -> float:
    """The value at a rank of 0 to 1, linear between quantiles."""
    place = rank * (len(quantiles) - 1)
    low = min(int(place), len(quantiles) - 2) if len(quantiles) > 1 else 0
    if len(quantiles) == 1:
        return quantiles[0]
    return quantiles[low] + (place - low) * (quantiles[low + 1] - quantiles[low])
