"""What recorded reasoning says about forks, before a run has said anything: rates by signal, depth and history.

The numbers are in `priors.json` beside this file, made by the command it names from half of the recorded tasks. They
hold no text. A rate is the share of forks at such a signal that would have ended their iteration, given that the forks
before it in the same iteration would not have; what a fork would have answered is a rule (`bench/standins.py`).
"""
from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from pathlib import Path

import msgspec

from trigger.signals import Signal
from trigger.situation import History

DEPTHS = (1000, 3000, 6000, 10_000)
"""Tokens of reasoning at which a new depth begins."""
CHARS_PER_TOKEN = 4.0
RELATED, SAME = 0.2, 0.95
"""Shares of a kernel's lines in the kernel before it from which on it is a version of that, or no new one."""


class Priors(msgspec.Struct, frozen=True, kw_only=True):
    made_by: str
    tasks: int
    traces: int
    strength: float
    """Forks a rate counts for against what the run itself sees."""
    rates: dict[str, tuple[float, ...]]
    """By `<signal>/<history>`, one for each depth."""
    otherwise: float
    """Rate of a signal the recordings do not show."""
    reasoning_tokens: tuple[int, ...]
    """Quantiles of the length of a whole reasoning, evenly spaced."""
    fork_tokens: int
    """Mean length of an answer."""

    def rate(self, signal: str, history: History, tokens: float) -> float:
        rates = self.rates.get(f"{signal}/{history}")
        return self.otherwise if rates is None else rates[bisect_right(DEPTHS, tokens)]


def name_of(signal: Signal) -> str:
    """The signal as the priors know it."""
    if signal.draft:
        return f"{signal.kind}+draft"
    if signal.kind not in ("kernel_completed", "kernel_stored"):
        return signal.kind + "+caller" * signal.assemblable
    return f"kernel_completed+{_stage(signal)}"


def _stage(signal: Signal) -> str:
    """Where a kernel stands in the course of the design."""
    if signal.sketch:
        return "sketch"
    if signal.familiar is None:
        return "first"
    return "other" if signal.familiar < RELATED else "settling" if signal.familiar < SAME else "same"


@lru_cache(maxsize=1)
def priors() -> Priors:
    return msgspec.json.decode((Path(__file__).parent / "priors.json").read_bytes(), type=Priors)
