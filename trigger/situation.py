"""What a fork is decided from besides the text: plain numbers, handed in."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from common.messages import Outlook
from trigger.stop import mean_bar

History = Literal["fresh", "failed", "failing", "behind", "ahead"]
"""Of the run: its first iteration; one, or more, iterations without a valid kernel; valid kernels, none of which would
clear the bar again (as when all are slower than eager); valid kernels of which some would."""


def history(iteration: int, H: tuple[float, ...]) -> History:
    """What the run's iterations before `iteration` (from 1) say about this one."""
    if H:
        return "ahead" if max(H) > mean_bar(H) else "behind"
    return "fresh" if iteration <= 1 else "failed" if iteration == 2 else "failing"


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    rate: float = 50.0
    """Tokens a second of the main generation."""
    fork_rate: float | None = None
    """Of forks, as this run has seen them, the wait for their first token included: with prompt lookup they are several
    times as fast. None until one has ended."""
    latency: float = 20.0
    """Seconds from a candidate's proposal to its final outcome, as this run has seen them."""
    places: int | None = None
    """Jobs the workers take at once, all together; None where no worker has been heard of."""
    waiting: int = 0
    """Candidates, of all runs, proposed and without an outcome."""
    running: int = 0
    """Forks of this iteration that still generate."""
    nothing_pending: float = 1.0
    """Probability that none of the forks and candidates under way ends the iteration."""
    history: History = "fresh"
    lengths: tuple[int, ...] = ()
    """Reasoning tokens of the run's earlier iterations that ended by themselves."""
    replicas: Mapping[str, Outlook] = {}
    """What each replica of the engine offers a fork, by its address; empty where there is one, or none is known."""
    outcomes: Mapping[str, tuple[int, int]] = {}
    """Forks of this run by signal: (would end an iteration, would not)."""
    behind: int = 0
    """Characters by which the text is ahead of the signal: more than 0 only when a text is read again."""
