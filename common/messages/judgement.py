"""The judge's answer about one candidate, as data: outcome, feedback, measurement, evidence."""
from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Outcome(StrEnum):
    PASSED = "passed"
    COMPILE_ERROR = "compile_error"
    RUNTIME_ERROR = "runtime_error"
    WRONG_SHAPE = "wrong_shape"
    WRONG_DTYPE = "wrong_dtype"
    WRONG_VALUES = "wrong_values"
    PRECISION_DOWNGRADE = "precision_downgrade"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CHEATED = "cheated"
    REJECTED_TASK = "rejected_task"
    INFRASTRUCTURE_ERROR = "infrastructure_error"
    """Never the candidate's fault."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One element that differs."""

    index: tuple[int, ...]
    expected: float
    got: float


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What the LLM and a person read. `message` holds foreign text (a compiler's, Python's), truncated."""

    summary: str
    message: str = ""
    differences: tuple[Difference, ...] = ()
    cause: str = ""
    """The likely cause where it is known, with the way to mend it."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """Paired timing of candidate and reference on the same device and inputs."""

    speedup: float
    """Median of the paired ratios reference/candidate."""
    low: float
    high: float
    """Bounds of the bootstrap confidence interval of the median."""
    confidence: float
    candidate_ms: float
    reference_ms: float
    pairs: int


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One stage's answer. `measurement` is there for a profile that passed."""

    outcome: Outcome
    feedback: Feedback
    labels: tuple[str, ...] = ()
    measurement: Measurement | None = None
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Wall seconds by step: compile, spare, load, check, time."""
    record: dict[str, Any] = msgspec.field(default_factory=dict)
    """Evidence: error ratios by case, seeds' digest, compiler and flags, versions, limits of the kernel."""
    short_of_memory: bool = False
    """Something on the way to it, of the candidate's or of the judge's own, found too little memory."""
