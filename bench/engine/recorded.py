"""Recorded iterations as token ids, ready to be played through an engine: the file `pack_traces.py` writes.

It carries everything a GPU host needs, which has neither the recordings nor a network. What a fork would have answered
was never recorded: a rule stands in for it (`bench.standins`), and the text of such an answer is the recorded answer's,
cut or repeated to the stand-in's length.
"""
from __future__ import annotations

import gzip
from bisect import bisect_left, bisect_right
from pathlib import Path

import msgspec

from common.errors import UsageError
from trigger.signals import Signal


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate, judged. `key` is equal where the sources would be: such candidates are judged once."""

    key: str
    passed: bool
    speedup: float
    judge_seconds: float


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork at `from_char` or later answers, up to the next one."""

    from_char: int
    ids: tuple[int, ...]
    outcome: Outcome


class Iteration(msgspec.Struct, frozen=True, kw_only=True):
    trace: str
    prompt: tuple[int, ...]
    thinking: tuple[int, ...]
    """The reasoning without the marker that ends it."""
    ends: tuple[int, ...]
    """Characters of the reasoning up to and including each of its tokens."""
    answer: tuple[int, ...]
    """The end of the reasoning and the answer."""
    outcome: Outcome
    """Of the answer."""
    signals: tuple[Signal, ...]
    """What the trigger's parser sees in the reasoning, in the order it sees it."""
    forks: tuple[Stand, ...]
    """By `from_char`; the first at 0."""

    def tokens_at(self, char: int) -> int:
        """Tokens that cover the first `char` characters: where a fork is cut."""
        return bisect_left(self.ends, char) + 1 if char else 0

    def stand_at(self, char: int) -> Stand:
        return self.forks[bisect_right(self.forks, char, key=lambda stand: stand.from_char) - 1]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Prompt lookup, counted on recorded text: tokens an engine step gives, by how the text stands in its context."""

    proposed: int
    answer: tuple[float, ...]
    """For each answer, its reasoning in the context."""
    answer_alone: tuple[float, ...]
    """For each answer, after the prompt only."""
    thinking: tuple[float, ...]
    """For each reasoning."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    rule: str
    """The stand-in rule of the forks' answers."""
    seed: int
    suffix: tuple[int, ...]
    """What a fork adds to the prefix: the end of the thinking and an opened fence."""
    runs: tuple[tuple[Iteration, ...], ...]
    """Samples of one task are the iterations of one run."""
    accepted: tuple[Accepted, ...]
    end: int
    """Id of the token that ends a generation."""

    @property
    def iterations(self) -> list[Iteration]:
        return [iteration for run in self.runs for iteration in run]


def write(recorded: Recorded, path: Path) -> None:
    path.write_bytes(gzip.compress(msgspec.json.encode(recorded), mtime=0))


def read(path: Path) -> Recorded:
    try:
        return msgspec.json.decode(gzip.decompress(path.read_bytes()), type=Recorded)
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}; `python -m bench.engine.pack_traces OUT` writes it") from None
