"""What copies blocks between an engine's memory and a pool's pages."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kvstore.memory import Mapping


@dataclass(frozen=True, slots=True)
class Place:
    """A page: where its chunk is mapped, which page of it, and what its trailer says or shall say."""

    mapping: Mapping
    page: int
    tag: int


Wait = Callable[[], list[bool]]
"""Returns when a copy is done: which of its blocks are what they should be."""


class Copier(Protocol):
    """One direction of one worker; used by one thread. A copy is under way when the call returns, in the order of the
    calls; its pages stay mapped until it was waited for."""

    @property
    def slice_bytes(self) -> int:
        """What one call copies at most: a revocation waits for two, and must not wait for longer than 50 ms."""

    def mark(self) -> Any:
        """What the engine has queued up to now; called by the engine's thread and waited for before the copy."""

    def store(self, blocks: Sequence[int], places: Sequence[Place], mark: Any) -> Wait:
        """Write the engine's blocks into the pages, then their trailers."""

    def load(self, blocks: Sequence[int], places: Sequence[Place], mark: Any) -> Wait:
        """Read the pages into the engine's blocks. Those that are not what they should be hold rubbish."""
