"""The interface every kind of memory has."""
from __future__ import annotations

from typing import Protocol

from common.errors import SpecgenError


class MemoryFailed(SpecgenError):
    """Memory could not be had, shown or mapped."""


class Segment(Protocol):
    """A chunk as its owner holds it: zeroed when made."""

    size: int

    def release(self) -> None:
        """Give the memory back. Nobody may have it mapped where the kind does not allow it."""


class Mapping(Protocol):
    """A chunk as a peer has it."""

    address: int
    """Where it begins: in the host's address space for `shm`, in the owner's for `nixl`, else in the device's."""
    size: int

    def close(self) -> None:
        """Unmap. No copy may be under way."""


class Owner(Protocol):
    kind: str

    def round_up(self, size: int) -> int:
        """The next size this memory can be made in."""

    def allocate(self, size: int) -> Segment:
        """Zeroed memory; MemoryFailed where there is not enough."""

    def export(self, segment: Segment, *, writable: bool) -> tuple[bytes, int | None]:
        """What a peer needs: a token, and a descriptor that the caller closes."""

    def free(self) -> int:
        """Bytes nobody uses now, on the whole device or host."""

    def total(self) -> int: ...


class Peer(Protocol):
    maps: bool
    """Whether a chunk is mapped into this process, rather than reached through a library that moves bytes."""

    def open(self, token: bytes, descriptor: int | None, size: int, *, writable: bool) -> Mapping:
        """Map a chunk; the descriptor stays the caller's. MemoryFailed where that is refused."""
