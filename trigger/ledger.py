"""What became of the forks of a run, from its facts: what is under way, what the run has taught, how long things take.

Mutable, with one owner; `fold` takes the run's facts in order, each once.
"""
from __future__ import annotations

from collections.abc import Mapping

from common.messages import (
    CandidateProposed,
    CandidateSettled,
    Fact,
    GenerationEnded,
    GenerationStarted,
    IterationStarted,
    Outlook,
)
from trigger.situation import Situation, history
from trigger.stop import mean_bar

_FIRST_LATENCY = 20.0
_LATEST = 0.3
"""Weight of the latest in a running mean."""
_RATE_TOKENS = 50
"""Shorter forks say little about how fast they are generated."""


class Ledger:
    def __init__(self) -> None:
        self.outcomes: dict[str, tuple[int, int]] = {}
        self.lengths: list[int] = []
        self._latency: float | None = None
        self._fork_rate: float | None = None
        self._iteration = 0
        self._begin(())

    def _begin(self, H: tuple[float, ...]) -> None:
        """A new iteration: nothing of the last one is under way."""
        self._H = H
        self._generating: dict[str, tuple[str, float]] = {}
        self._judged: dict[str, tuple[str, float]] = {}
        self._proposed: dict[str, float] = {}

    def fold(self, fact: Fact) -> None:
        match fact:
            case IterationStarted():
                self._begin(fact.H)
                self._iteration = fact.iteration
            case GenerationStarted(kind="fork"):
                self._generating[fact.generation] = (fact.reason, fact.numbers.get("p", 0.0))
            case GenerationEnded():
                self._generation_ended(fact)
            case CandidateProposed():
                self._proposed[fact.candidate] = fact.at
            case CandidateSettled():
                self._settled(fact)

    def _generation_ended(self, fact: GenerationEnded) -> None:
        if fact.generation == "main":
            if fact.reason == "finished":
                self.lengths.append(fact.reasoning_tokens)
            return
        bet = self._generating.pop(fact.generation, None)
        if bet is None:
            return
        tokens = fact.reasoning_tokens + fact.answer_tokens
        if tokens >= _RATE_TOKENS and fact.seconds > 0:
            self._fork_rate = _mean(self._fork_rate, tokens / fact.seconds)
        if fact.candidate in self._proposed:
            self._judged[fact.candidate] = bet
        elif fact.reason == "finished":
            self._count(bet[0], won=False)

    def _settled(self, fact: CandidateSettled) -> None:
        proposed = self._proposed.pop(fact.candidate, None)
        bet = self._judged.pop(fact.candidate, None)
        if fact.fate != "counted":
            return
        if proposed is not None:
            self._latency = _mean(self._latency, fact.at - proposed)
        if bet is not None:
            self._count(bet[0], won=fact.entered_H and (fact.speedup or 0.0) > mean_bar(self._H))

    def _count(self, reason: str, *, won: bool) -> None:
        good, bad = self.outcomes.get(reason, (0, 0))
        self.outcomes[reason] = (good + won, bad + (not won))

    @property
    def waiting(self) -> int:
        return len(self._proposed)

    def situation(
        self, *, rate: float, places: int | None, waiting: int, behind: int = 0,
        replicas: Mapping[str, Outlook] | None = None,
    ) -> Situation:
        """The numbers a decision of the open iteration is made from; `waiting` counts the candidates of all runs."""
        nothing = 1.0
        for _, p in (*self._generating.values(), *self._judged.values()):
            nothing *= 1 - p
        return Situation(
            rate=rate, fork_rate=self._fork_rate, places=places, waiting=waiting, running=len(self._generating),
            latency=_FIRST_LATENCY if self._latency is None else self._latency, nothing_pending=nothing,
            history=history(self._iteration, self._H), lengths=tuple(self.lengths), outcomes=self.outcomes,
            behind=behind, replicas=replicas or {},
        )


def _mean(mean: float | None, latest: float) -> float:
    """A running mean, begun by its first value."""
    return latest if mean is None else (1 - _LATEST) * mean + _LATEST * latest
