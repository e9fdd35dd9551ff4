"""Facts of a run for tests: numbered, with plausible fields."""
from __future__ import annotations

from typing import Any

from common.messages import (
    Budget,
    CandidateProposed,
    Fact,
    Feedback,
    IterationStarted,
    Judgement,
    Llm,
    Measurement,
    Outcome,
    Profile,
    RunStarted,
    Stage,
    TaskSource,
    Verdict,
)
from generator.accept import Draft
from generator.state import RunState

TASK = TaskSource(name="t", source="class Model: pass\n")


class Log:
    """Records facts into a state as a generator would, at a clock of its own."""

    def __init__(self, *, iterations: int = 3, tokens: int | None = None, seconds: float | None = None,
                 strategy: str = "refine", drain_seconds: float = 60.0, run: str = "r") -> None:
        self.state = RunState(run)
        self.facts: list[Fact] = []
        self.now = 100.0
        self.record(
            RunStarted, task=TASK, budget=Budget(iterations=iterations, tokens=tokens, seconds=seconds),
            llm=Llm(url="http://h", model="m"), strategy=strategy, device="cpu", speculate=True, stop="mean",
            drain_seconds=drain_seconds,
        )

    def record(self, kind: type[Fact], /, **fields: Any) -> Any:
        fact = kind(run=self.state.run, n=self.state.n + 1, at=self.now, **fields)
        self.state.apply(fact)
        self.facts.append(fact)
        return fact

    def draft(self, draft: Draft) -> Any:
        return self.record(draft.kind, **draft.fields)

    def iteration(self, number: int = 1) -> Any:
        return self.record(IterationStarted, iteration=number, H=tuple(self.state.H), prompt="p")

    def proposed(self, name: str, iteration: int = 1, origin: str = "main", source: str = "",
                 generation: str = "main") -> CandidateProposed:
        source = source or f"class ModelNew: {name} = 1"
        fact: CandidateProposed = self.record(
            CandidateProposed, iteration=iteration, candidate=name, generation=generation, origin=origin, source=source,
            digest=f"digest of {source}", task=TASK, device="cpu",
        )
        return fact


def judgement(outcome: Outcome = Outcome.PASSED, speedup: float | None = None, **fields: Any) -> Judgement:
    measured = None
    if speedup is not None:
        measured = Measurement(
            speedup=speedup, low=speedup * 0.9, high=speedup * 1.1, confidence=0.95, candidate_ms=1.0,
            reference_ms=speedup, pairs=20,
        )
    fields.setdefault("feedback", Feedback(summary=str(outcome)))
    return Judgement(outcome=outcome, measurement=measured, **fields)


def result(stage: Stage, candidate: str, judged: Judgement, *, iteration: int = 1, attempt: int = 1, at: float = 101.0,
           run: str = "r") -> Verdict | Profile:
    kind = Verdict if stage is Stage.VALIDATE else Profile
    return kind(
        run=run, iteration=iteration, candidate=candidate, attempt=attempt, at=at, worker="w", device="cpu-0", lease=1,
        queue_seconds=0.5, judgement=judged,
    )
