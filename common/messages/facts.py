"""The facts of a run, in the past participle. Written by the run's generator alone; the run's state is their fold."""
from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from common.messages.base import Fact
from common.messages.campaign import Budget, Llm, RunSubmitted, TaskSource
from common.messages.judgement import Judgement, Outcome
from common.messages.placement import Placement
from common.messages.work import Stage

Origin = Literal["main", "fork", "draft"]
Fate = Literal["counted", "duplicate", "late", "cancelled"]


class RunStarted(Fact, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "evt.{run}.run.started"

    task: TaskSource
    budget: Budget
    llm: Llm
    strategy: str
    device: str
    hardware: str = ""
    speculate: bool
    stop: str
    drain_seconds: float
    campaign: str = ""
    weight: float = 1.0
    priority: int = 0


def asked(run: RunSubmitted | RunStarted) -> dict[str, Any]:
    """What a submission asks for, by field, which a run's first fact repeats in full."""
    return {name: getattr(run, name) for name in RunSubmitted.__struct_fields__ if name not in ("run", "at")}


class RunEnded(Fact, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "evt.{run}.run.ended"

    reason: str
    """`iterations`, `tokens`, `seconds`, `cancelled` or `failed`."""
    cause: str = ""
    best: str | None = None


class IterationStarted(Fact, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "evt.{run}.iteration.started"

    iteration: int
    H: tuple[float, ...]
    """Speedups of the run's earlier valid kernels: what the stop criterion compares with."""
    prompt: str


class IterationEnded(Fact, frozen=True, kw_only=True):
    """The one end of an iteration."""

    SUBJECT: ClassVar[str] = "evt.{run}.iteration.ended"

    iteration: int
    reason: str
    """`answered` (everything settled), `aborted` (the same where the reasoning led nowhere), `drained` (the wait ran
    out), `stopped` (good enough), `budget`, `cancelled` or `failed`."""
    cause: str = ""
    """The candidate that stopped it, or the error."""
    request: int | None = None
    """Stream sequence of the command that asked for it."""
    H: tuple[float, ...]
    numbers: dict[str, float] = msgspec.field(default_factory=dict)


class GenerationStarted(Fact, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "evt.{run}.generation.started"

    iteration: int
    generation: str
    """`main`, or `f1`, `f2`, … for forks; unique in its iteration."""
    kind: Literal["main", "fork"]
    parent: str | None = None
    at_token: int | None = None
    at_char: int | None = None
    reason: str = ""
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    request: int | None = None
    """Stream sequence of the command that asked for it."""
    resumed_at_token: int | None = None
    """Set where a generation goes on after its generator was replaced, or its replica of the engine broke it off."""
    placement: Placement | None = None
    """Where the run has several replicas: the one it was sent to."""


class GenerationEnded(Fact, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "evt.{run}.generation.ended"

    iteration: int
    generation: str
    reason: Literal["finished", "length", "aborted", "failed"]
    cause: str = ""
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    """Prompt tokens the engine found in its prefix cache; None where it does not say."""
    reasoning_tokens: int = 0
    answer_tokens: int = 0
    tokens_estimated: bool = False
    """True where the endpoint gave no counts and characters / 4 stand in."""
    seconds: float = 0.0
    candidate: str | None = None
    """The candidate its answer became or repeated."""
    request: int | None = None
    """Stream sequence of the command that ended it."""
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    """What that command rests on."""


class CandidateProposed(Fact, frozen=True, kw_only=True):
    """A source not seen before in this run. This fact is the request to validate it."""

    SUBJECT: ClassVar[str] = "evt.{run}.candidate.proposed"

    iteration: int
    candidate: str
    generation: str
    origin: Origin
    at_token: int | None = None
    source: str
    digest: str
    """SHA-256 of the source without comments and layout."""
    request: int | None = None
    """Stream sequence of the command that brought a draft."""
    task: TaskSource
    device: str


class CandidateDuplicated(Fact, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "evt.{run}.candidate.duplicated"

    iteration: int
    generation: str
    origin: Origin
    duplicate_of: str
    digest: str
    request: int | None = None


class ResultAccepted(Fact, frozen=True, kw_only=True):
    """The one result of a candidate's stage that counts."""

    SUBJECT: ClassVar[str] = "evt.{run}.result.accepted"

    iteration: int
    candidate: str
    stage: Stage
    attempt: int
    sequence: int
    """Its place in the stream of results."""
    worker: str
    device: str | None
    queue_seconds: float
    judgement: Judgement


class ResultIgnored(Fact, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "evt.{run}.result.ignored"

    iteration: int
    candidate: str
    stage: Stage
    attempt: int
    sequence: int
    reason: Literal["late", "stale", "repeated", "unknown"]
    outcome: Outcome


class CandidateSettled(Fact, frozen=True, kw_only=True):
    """A candidate's one final outcome. `outcome` is None where its iteration ended before it was known."""

    SUBJECT: ClassVar[str] = "evt.{run}.candidate.settled"

    iteration: int
    candidate: str
    outcome: Outcome | None
    fate: Fate
    speedup: float | None = None
    entered_H: bool = False


class RequestIgnored(Fact, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "evt.{run}.request.ignored"

    iteration: int
    kind: Literal["fork", "stop", "abort"]
    reason: str
    request: int
    """Stream sequence of the command."""
