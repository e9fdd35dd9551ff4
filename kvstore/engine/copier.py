"""What copies blocks between an engine's memory and a pool's pages."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kvstore.memory import Mapping


@dataclass(frozen=True, slots=True)
class Place:
    """A page: where its chunk is mapped, which page of it, and what its trailer says or shall say."""

    mapping: Mapping
    page: int
    tag: int


class Copier(Protocol):
    """One direction of one worker; used by one thread. Both calls return when the copy is done."""

    slice_bytes: int
    """What one call copies at most: a revocation waits until it returns, and must not wait for longer than 50 ms."""

    def mark(self) -> Any:
        """What the engine has queued up to now; called by the engine's thread and waited for before the copy."""

    def store(self, blocks: Sequence[int], places: Sequence[Place], mark: Any) -> None:
        """Write the engine's blocks into the pages, then their trailers."""

    def load(self, blocks: Sequence[int], places: Sequence[Place], mark: Any) -> list[bool]:
        """Read the pages into the engine's blocks; which of them were what they should be. The others hold rubbish."""
