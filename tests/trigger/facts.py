"""Facts of one imagined run, for the trigger's tests."""
from __future__ import annotations

from itertools import count
from typing import Any

from common.messages import (
    Budget,
    Feedback,
    IterationEnded,
    IterationStarted,
    Judgement,
    Llm,
    Measurement,
    Outcome,
    ResultAccepted,
    RunEnded,
    RunStarted,
    Stage,
    TaskSource,
    TokenDelta,
)


class Log:
    """Numbers a run's facts as its generator would."""

    def __init__(self, run: str = "r1") -> None:
        self.run = run
        self._n = count(1)

    def header(self) -> dict[str, Any]:
        return {"run": self.run, "n": next(self._n), "at": 0.0}

    def started(self, *, speculate: bool = True, stop: str = "mean", allow_library: bool = False) -> RunStarted:
        return RunStarted(
            **self.header(), task=TaskSource(name="t", source="", allow_library=allow_library),
            budget=Budget(iterations=3), llm=Llm(url="http://localhost", model="m"), strategy="refine", device="cpu",
            speculate=speculate, stop=stop, drain_seconds=1.0,
        )

    def iteration(self, iteration: int, *H: float) -> IterationStarted:
        return IterationStarted(**self.header(), iteration=iteration, H=H, prompt="p")

    def iteration_ended(self, iteration: int) -> IterationEnded:
        return IterationEnded(**self.header(), iteration=iteration, reason="answered", H=())

    def ended(self) -> RunEnded:
        return RunEnded(**self.header(), reason="iterations")

    def result(
        self, iteration: int, candidate: str, stage: Stage, *, speedup: float | None = None, low: float | None = None,
        outcome: Outcome = Outcome.PASSED, labels: tuple[str, ...] = (),
    ) -> ResultAccepted:
        measurement = None if speedup is None else Measurement(
            speedup=speedup, low=speedup if low is None else low, high=speedup, confidence=0.95, candidate_ms=1.0,
            reference_ms=speedup, pairs=20,
        )
        judgement = Judgement(outcome=outcome, feedback=Feedback(summary=""), labels=labels, measurement=measurement)
        return ResultAccepted(
            **self.header(), iteration=iteration, candidate=candidate, stage=stage, attempt=1, worker="w",
            device=None, queue_seconds=0.0, judgement=judgement, **_optional(ResultAccepted, sequence=1),
        )


def _optional(kind: type, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in kind.__struct_fields__}


def deltas(text: str, *, run: str = "r1", iteration: int = 1, size: int = 4, ids: bool = True) -> list[TokenDelta]:
    """`text` as main reasoning, one delta for every `size` characters, each one token."""
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    return [
        TokenDelta(
            run=run, iteration=iteration, generation="main", seq=seq, at=0.0, first_token=seq,
            token_ids=(seq,) if ids else None, first_char=seq * size, text=piece, channel="reasoning",
        )
        for seq, piece in enumerate(pieces)
    ]
