"""What the scheduler knows of a run, folded from its facts. Pure."""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from common.messages import (
    CandidateProposed,
    CandidateSettled,
    Fact,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    RunStarted,
    Stage,
)

MAIN = "main"
_REMEMBERED = 64
"""Speedups a run's chances are judged by, of each origin: the latest."""

Source = Literal["main", "speculation"]


@dataclass
class Run:
    name: str
    n: int = 0
    """The last fact folded; a fact that was seen before is skipped."""
    campaign: str = ""
    weight: float = 1.0
    priority: int = 0
    stop: str = "mean"
    iterations: int = 0
    """Its budget."""
    over: int = 0
    """Iterations are open one after the other: those up to this one are over."""
    H: tuple[float, ...] = ()
    answered: bool = False
    """The open iteration's main generation has ended; the iteration waits for what is unsettled."""
    proposed: dict[str, CandidateProposed] = field(default_factory=dict)
    """Candidates of the open iteration that are not settled."""
    judged: set[tuple[Stage, str]] = field(default_factory=set)
    """Stages of these candidates that have a result."""
    speedups: dict[Source, deque[float]] = field(
        default_factory=lambda: {"main": deque(maxlen=_REMEMBERED), "speculation": deque(maxlen=_REMEMBERED)}
    )

    def __post_init__(self) -> None:
        self.campaign = self.campaign or self.name

    def fold(self, fact: Fact) -> None:
        self.n = fact.n
        match fact:
            case RunStarted():
                self.campaign, self.weight = fact.campaign or fact.run, fact.weight
                self.priority, self.stop, self.iterations = fact.priority, fact.stop, fact.budget.iterations
            case IterationStarted():
                self.H, self.answered = fact.H, False
            case GenerationStarted() if fact.generation == MAIN:
                self.answered = False
            case GenerationEnded() if fact.generation == MAIN:
                self.answered = True
            case CandidateProposed() if fact.iteration > self.over:
                self.proposed[fact.candidate] = fact
            case CandidateSettled():
                self._settled(fact)
            case IterationEnded():
                self._end(fact.iteration)

    @property
    def left(self) -> int:
        """Iterations it may still begin or end."""
        return self.iterations - self.over

    def _settled(self, fact: CandidateSettled) -> None:
        proposed = self.proposed.pop(fact.candidate, None)
        if proposed is not None and fact.speedup is not None:
            self.speedups[source(proposed)].append(fact.speedup)

    def _end(self, iteration: int) -> None:
        self.over = max(iteration, self.over)
        self.proposed = {name: p for name, p in self.proposed.items() if p.iteration > self.over}
        self.judged = {(stage, name) for stage, name in self.judged if name in self.proposed}


def source(proposed: CandidateProposed) -> Source:
    return "main" if proposed.origin == "main" else "speculation"
