"""The pool: chunks of memory, which space each belongs to, who has it mapped, and how it is taken back. Pure.

A chunk goes one way only: added, given to a space, revoked, unmapped by every peer, released. It never changes space,
so nobody ever maps memory that held another tenant's blocks, and its number is never used again.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from common.errors import SpecgenError
from kvstore.directory import Directory
from kvstore.geometry import Geometry, Space


class Refused(SpecgenError):
    """A peer asked for something it may not have."""


@dataclass(slots=True)
class Chunk:
    space: Space | None = None
    peers: set[str] = field(default_factory=set)
    """Sessions that were given its descriptor and have not said that they unmapped it."""
    leaving: bool = False


class Pool:
    """`first` numbers the first chunk; `tag` draws a number that is neither zero nor likely to come again."""

    def __init__(self, chunk_bytes: int, first: int, tag: Callable[[], int]) -> None:
        self.chunk_bytes = chunk_bytes
        self.epoch = first
        """Grows with every revocation; two instances of the service never share one."""
        self.chunks: dict[int, Chunk] = {}
        self._next = first
        self._tag = tag
        self._spaces: dict[Space, Directory] = {}
        self._wanting: set[Space] = set()
        """Those that asked for a chunk when there was none."""

    # Size

    def add(self) -> int:
        """A new chunk of zeroed memory; its number."""
        number, self._next = self._next, self._next + 1
        self.chunks[number] = Chunk()
        return number

    def live(self) -> list[int]:
        return [number for number, chunk in self.chunks.items() if not chunk.leaving]

    def leaving(self) -> list[int]:
        return [number for number, chunk in self.chunks.items() if chunk.leaving]

    def blocks(self) -> int:
        return sum(directory.blocks() for directory in self._spaces.values())

    def directories(self) -> dict[Space, Directory]:
        return self._spaces

    # Spaces

    def open(self, space: Space, geometry: Geometry, *, in_use: bool) -> list[int]:
        """Make sure the space has this geometry; chunks of a former one, which are leaving from now on.

        Refused where its blocks have another while somebody uses them, or a page does not fit a chunk.
        """
        if geometry.page_bytes > self.chunk_bytes:
            raise Refused(
                f"a block takes {geometry.page_bytes} bytes, a chunk has {self.chunk_bytes}: raise "
                "SPECGEN_KVSTORE_CHUNK_MIB, or use smaller blocks"
            )
        there = self._spaces.get(space)
        if there is not None and there.geometry != geometry:
            if in_use:
                raise Refused(
                    f"the pool holds blocks of {space.model} for engines that differ: "
                    f"{geometry.differences(there.geometry)}; start engines that share alike"
                )
            left = self.revoke(there.chunks())
            self._spaces[space] = Directory(geometry, self.chunk_bytes, self._tag)
            return left
        if there is None:
            self._spaces[space] = Directory(geometry, self.chunk_bytes, self._tag)
        return []

    def directory(self, space: Space) -> Directory:
        return self._spaces[space]

    def more(self, space: Space) -> bool:
        """Give the space a chunk that belongs to none, if there is one."""
        free = next(iter(self.unused()), None)
        if free is None:
            self._wanting.add(space)
            return False
        self.chunks[free].space = space
        self._spaces[space].add(free)
        self._wanting.discard(space)
        return True

    def unused(self) -> list[int]:
        """Chunks that belong to no space yet."""
        return [n for n, chunk in self.chunks.items() if chunk.space is None and not chunk.leaving]

    def left(self, space: Space) -> None:
        """Nobody uses the space any more, so it wants nothing; its blocks stay until others need the room."""
        self._wanting.discard(space)

    def to_share(self, in_use: Collection[Space]) -> int | None:
        """The chunk to give up for a space that wants one: the coldest of a space that nobody uses, else, for one that
        has nothing, the coldest of the space that has most, if that has several. None where there is no need."""
        if not self._wanting or self.unused():
            return None
        deserted = [directory for space, directory in self._spaces.items() if space not in in_use]
        poor = any(not self._spaces[space].size for space in self._wanting)
        for directories, least in ((deserted, 1), (self._spaces.values() if poor else (), 2)):
            richest = max(directories, key=lambda directory: directory.size, default=None)
            if richest is not None and richest.size >= least:
                return richest.chunks()[0]
        return None

    # Peers

    def of(self, space: Space) -> list[int]:
        return [n for n, chunk in self.chunks.items() if chunk.space == space and not chunk.leaving]

    def mapped(self, peer: str, chunk: int) -> None:
        """The peer was given the descriptor."""
        self.chunks[chunk].peers.add(peer)

    def unmapped(self, peer: str, chunks: Iterable[int]) -> None:
        for number in chunks:
            if number in self.chunks:
                self.chunks[number].peers.discard(peer)

    def gone(self, peer: str) -> None:
        self.unmapped(peer, list(self.chunks))

    # Reclaim

    def coldest(self, count: int) -> list[int]:
        """Chunks to give up first: unused ones, then by the directories' order."""
        ranked = [list(enumerate(d.chunks())) for d in self._spaces.values()]
        used = [number for _, number in sorted(pair for pairs in ranked for pair in pairs)]
        return (self.unused() + used)[:count]

    def revoke(self, chunks: Iterable[int]) -> list[int]:
        """From now on nothing in these chunks can be found; they count as used until `releasable`."""
        taken = [n for n in chunks if n in self.chunks and not self.chunks[n].leaving]
        for number in taken:
            chunk = self.chunks[number]
            chunk.leaving = True
            if chunk.space is not None:
                self._spaces[chunk.space].drop(number)
        self.epoch += bool(taken)
        return taken

    def releasable(self) -> list[int]:
        """Revoked chunks that no peer has mapped."""
        return [n for n in self.leaving() if not self.chunks[n].peers]

    def remove(self, chunk: int) -> None:
        """The chunk's memory was given back. ValueError where somebody still has it mapped."""
        if self.chunks[chunk].peers or not self.chunks[chunk].leaving:
            raise ValueError(f"chunk {chunk} is still in use")
        del self.chunks[chunk]
