"""A run's state: the fold of its facts and nothing else.

`RunState.apply` is the only thing that changes it. A fact whose number was seen is skipped, so folding a log in which
a fact was published twice gives the same state.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from common.messages import (
    CandidateDuplicated,
    CandidateProposed,
    CandidateSettled,
    Fact,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    Outcome,
    RequestIgnored,
    ResultAccepted,
    ResultIgnored,
    RunEnded,
    RunStarted,
    Stage,
)

_NOT_JUDGED = (None, Outcome.INFRASTRUCTURE_ERROR)
"""Outcomes that say nothing about the source: proposed again, it is a new candidate."""


@dataclass
class Candidate:
    proposed: CandidateProposed
    results: dict[Stage, ResultAccepted] = field(default_factory=dict)
    settled: CandidateSettled | None = None


@dataclass
class Generation:
    started: GenerationStarted
    ended: GenerationEnded | None = None


@dataclass
class Iteration:
    started: IterationStarted
    generations: dict[str, Generation] = field(default_factory=dict)
    ended: IterationEnded | None = None


@dataclass
class RunState:
    run: str
    n: int = 0
    started: RunStarted | None = None
    ended: RunEnded | None = None
    iterations: list[Iteration] = field(default_factory=list)
    candidates: dict[str, Candidate] = field(default_factory=dict)
    by_digest: dict[str, str] = field(default_factory=dict)
    """The candidate of each source that was judged, or still may be."""
    duplicates: list[CandidateDuplicated] = field(default_factory=list)
    H: list[float] = field(default_factory=list)
    last_result: int = 0
    """Highest place in the stream of results that was handled."""
    last_request: int = 0
    """Highest place in the stream of commands that was handled."""

    def apply(self, fact: Fact) -> bool:
        """Fold one fact; False where it was already folded. ValueError where facts are missing before it."""
        if fact.n <= self.n:
            return False
        if fact.n != self.n + 1:
            raise ValueError(f"run {self.run}: fact {fact.n} follows {self.n}: facts are missing")
        self.n = fact.n
        self._fold(fact)
        return True

    def _fold(self, fact: Fact) -> None:
        match fact:
            case RunStarted():
                self.started = fact
            case RunEnded():
                self.ended = fact
            case IterationStarted():
                self.iterations.append(Iteration(fact))
            case IterationEnded():
                self.iterations[fact.iteration - 1].ended = fact
                self._handled(fact.request)
            case GenerationStarted():
                self._generation_started(fact)
            case GenerationEnded():
                self.iterations[fact.iteration - 1].generations[fact.generation].ended = fact
                self._handled(fact.request)
            case CandidateProposed():
                self.candidates[fact.candidate] = Candidate(fact)
                self.by_digest[fact.digest] = fact.candidate
                self._handled(fact.request)
            case CandidateDuplicated():
                self.duplicates.append(fact)
                self._handled(fact.request)
            case ResultAccepted():
                self.candidates[fact.candidate].results[fact.stage] = fact
                self.last_result = max(self.last_result, fact.sequence)
            case ResultIgnored():
                self.last_result = max(self.last_result, fact.sequence)
            case CandidateSettled():
                self._settled(fact)
            case RequestIgnored():
                self._handled(fact.request)

    def _generation_started(self, fact: GenerationStarted) -> None:
        """A generation that goes on after its generator was replaced starts a second time under its own name."""
        self.iterations[fact.iteration - 1].generations[fact.generation] = Generation(fact)
        self._handled(fact.request)

    def _settled(self, fact: CandidateSettled) -> None:
        candidate = self.candidates[fact.candidate]
        candidate.settled = fact
        if fact.outcome in _NOT_JUDGED:
            self.by_digest.pop(candidate.proposed.digest, None)
        if fact.entered_H and fact.speedup is not None:
            self.H.append(fact.speedup)

    def _handled(self, request: int | None) -> None:
        self.last_request = max(self.last_request, request or 0)

    @property
    def current(self) -> Iteration | None:
        """The open iteration, if one is open."""
        return self.iterations[-1] if self.iterations and self.iterations[-1].ended is None else None

    def of_iteration(self, iteration: int) -> list[Candidate]:
        return [c for c in self.candidates.values() if c.proposed.iteration == iteration]

    def best(self) -> Candidate | None:
        """The fastest candidate that counts: the run's result so far."""
        counted = [c for c in self.candidates.values() if c.settled and c.settled.entered_H]
        return max(counted, key=lambda c: c.settled.speedup or 0.0, default=None)  # type: ignore[union-attr]

    def tokens(self) -> int:
        """Tokens generated so far by generations that have ended."""
        ended = [g.ended for i in self.iterations for g in i.generations.values() if g.ended]
        return sum(e.reasoning_tokens + e.answer_tokens for e in ended)


def outcome_of(candidate: Candidate) -> Outcome | None:
    """The final outcome: the profile's where there is one, else a verdict that did not pass."""
    profile, verdict = candidate.results.get(Stage.PROFILE), candidate.results.get(Stage.VALIDATE)
    if profile is not None:
        return profile.judgement.outcome
    if verdict is not None and verdict.judgement.outcome is not Outcome.PASSED:
        return verdict.judgement.outcome
    return None
