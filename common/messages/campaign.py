"""What a user asks for: a task, a model, a strategy and a budget."""
from __future__ import annotations

import hashlib
from typing import ClassVar

import msgspec

from common.messages.base import Message


class TaskSource(msgspec.Struct, frozen=True, kw_only=True):
    """A KernelBench-style file, inline, with the policy it is judged under."""

    name: str
    source: str
    precision: str = "fp32"
    """`fp32` (strict), `tf32` or `bf16`: the lowest precision a candidate may compute in."""
    allow_library: bool = False
    """Whether a candidate made of library calls only may become the result."""

    @property
    def digest(self) -> str:
        """SHA-256 of the source, hexadecimal."""
        return hashlib.sha256(self.source.encode()).hexdigest()


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever is reached first ends the run. None means no limit."""

    iterations: int
    tokens: int | None = None
    seconds: float | None = None


class Llm(msgspec.Struct, frozen=True, kw_only=True):
    """An OpenAI-compatible endpoint. The key is not here: it is read from the environment variable named."""

    url: str
    model: str
    api_key_env: str | None = None
    replicas: tuple[str, ...] = ()
    """Further addresses that serve the same model, in the same way and for the same key."""


class RunSubmitted(Message, frozen=True, kw_only=True):
    """The request to run; the generator that takes it owns the run."""

    SUBJECT: ClassVar[str] = "run.submit.{run}"

    run: str
    at: float
    task: TaskSource
    budget: Budget
    llm: Llm
    strategy: str = "refine"
    device: str = "cpu"
    """Kind of device the kernel is for: `cpu` or `cuda`."""
    hardware: str = ""
    """What the prompt says about that device."""
    speculate: bool = True
    stop: str = "mean"
    drain_seconds: float = 60.0
    """How long an iteration waits for outcomes after its main answer."""
    campaign: str = ""
    """Runs of one campaign share its part of the devices; empty: the run is a campaign of its own."""
    weight: float = 1.0
    """The campaign's share of contended device time, relative to the others'."""
    priority: int = 0
    """A campaign of higher priority goes first, whatever the shares say."""

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"weight is {self.weight:g}: a share must be more than zero")


class CancelRun(Message, frozen=True, kw_only=True):
    """The user no longer wants the run; the generator ends it with reason `cancelled`."""

    SUBJECT: ClassVar[str] = "cmd.{run}.cancel"

    run: str
    at: float
    reason: str
