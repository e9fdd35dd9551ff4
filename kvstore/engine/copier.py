"""What copies blocks between an engine's memory and a pool's pages."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kvstore.engine.slots import Ints
from kvstore.geometry import Geometry
from kvstore.memory import Mapping

Bools = npt.NDArray[np.bool_]
COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Places:
    """Pages, a column each: which chunk, which page of it, and what its trailer says or shall say."""

    mappings: Sequence[Mapping]
    """The chunks, as they are mapped."""
    which: Ints
    """Of `mappings`, for each page."""
    pages: Ints
    tags: Ints

    def __len__(self) -> int:
        return len(self.pages)

    def some(self, begin: int, end: int) -> Places:
        return Places(self.mappings, self.which[begin:end], self.pages[begin:end], self.tags[begin:end])

    def addresses(self, geometry: Geometry, part: int) -> Ints:
        """Where each page's part begins."""
        chunks = np.array([mapping.address for mapping in self.mappings], dtype=np.int64)
        return chunks[self.which] + (self.pages * geometry.page_bytes + part * geometry.part_bytes)


class Copy(Protocol):
    """One that is under way, or was."""

    def ready(self) -> bool:
        """Whether it is done. Does not wait."""

    def wait(self) -> None:
        """Until it is done; any thread may."""

    def result(self) -> Bools:
        """Which of its blocks are what they should be. Waits; called once, and what the copy used is free then."""


@dataclass(frozen=True)
class Copied:
    """A copy that was done when the call returned."""

    good: Bools

    def ready(self) -> bool:
        return True

    def wait(self) -> None:
        return

    def result(self) -> Bools:
        return self.good


class Copier(Protocol):
    """One direction of one worker; used by one thread at a time. A copy is under way when the call returns, in the
    order of the calls; its pages stay mapped until it was waited for."""

    @property
    def slice_bytes(self) -> int:
        """What one call copies at most: a revocation waits for two, and must not wait for longer than 50 ms."""

    @property
    def queues(self) -> bool:
        """Whether a call only queues a copy of pages that are mapped: then the engine's own thread may make it."""

    def mark(self) -> Any:
        """What the engine has queued up to now; called by the engine's thread and waited for before the copy."""

    def store(self, blocks: Ints, places: Places, mark: Any) -> Copy:
        """Write the engine's blocks into the pages, then their trailers."""

    def load(self, blocks: Ints, places: Places, mark: Any) -> Copy:
        """Read the pages into the engine's blocks. Those that are not what they should be hold rubbish."""


def fill(table: Ints, blocks: Ints, places: Places, geometry: Geometry, part: int) -> None:
    """What a GPU's kernels are told of each block, (COLUMNS, blocks): its number, where its page's part begins, the
    tag, and a zero, to which the checksum is added."""
    table[0] = blocks
    table[1] = places.addresses(geometry, part)
    table[2] = places.tags
    table[3] = 0
