"""What an LLM engine says about its load; written by the generator that uses it, not part of a run's log."""
from __future__ import annotations

from typing import ClassVar

from common.messages.base import Message


class EngineMeasured(Message, frozen=True, kw_only=True):
    """The load of the engine a run generates on, all its users together. Counters count from the engine's start."""

    SUBJECT: ClassVar[str] = "ops.{run}.engine.measured"

    run: str
    at: float
    running: int
    """Requests being computed."""
    waiting: int
    """Requests that wait for a place."""
    cache_usage: float
    """Share of the KV cache in use, 0 to 1."""
    prefix_queries: int
    """Prompt tokens looked up in the prefix cache."""
    prefix_hits: int
    """Of these, tokens found."""
    preemptions: int
    """Running requests that were set back for want of cache."""
    replica: str = ""
    """Its address, where the run has several."""
