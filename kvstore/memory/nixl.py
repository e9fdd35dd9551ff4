"""Host memory of a pool on another host: shown by its registration and address, read and written over NIXL.

A peer has nothing mapped, so an access that comes too late finds no mapping to fail at: where UCX has no fabric the
owner's own process serves it, at the address it names. Therefore a released chunk keeps its addresses for a long time.
Its memory is given back, what is read there is zero, and fits no tag.
"""
from __future__ import annotations

import mmap
from collections import deque

import msgspec
import numpy as np

from kvstore.memory.agent import Remote, agent
from kvstore.memory.base import MemoryFailed, Segment
from kvstore.memory.shm import SharedOwner

_KEPT = 4_096
"""Released chunks whose addresses are not used again yet."""


class Token(msgspec.Struct, frozen=True, array_like=True):
    """What an offer carries in place of a descriptor."""

    address: int
    metadata: bytes


class RegisteredSegment:
    """`released` takes its addresses when it is released."""

    def __init__(self, size: int, released: deque[mmap.mmap]) -> None:
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
        try:
            self._memory = mmap.mmap(-1, size, flags)
        except OSError as error:
            raise MemoryFailed(f"no {size} bytes of memory: {error.strerror}") from None
        self.address = address_of(self._memory)
        self._released = released
        self.registration = agent().register(self.address, size)

    def release(self) -> None:
        agent().deregister(self.registration)
        self._memory.madvise(mmap.MADV_DONTNEED)
        if len(self._released) == _KEPT:
            self._released.popleft().close()
        self._released.append(self._memory)


class RegisteredOwner(SharedOwner):
    kind = "nixl"

    def __init__(self) -> None:
        """MemoryFailed where NIXL cannot be used."""
        agent().serve()
        self._released: deque[mmap.mmap] = deque()

    def allocate(self, size: int) -> RegisteredSegment:  # type: ignore[override]
        if size > self.free():
            raise MemoryFailed(f"no {size} bytes of memory: {self.free()} are free")
        return RegisteredSegment(size, self._released)

    def export(self, segment: Segment, *, writable: bool) -> tuple[bytes, int | None]:
        """Whoever can read can write: NIXL knows no difference."""
        assert isinstance(segment, RegisteredSegment)
        token = Token(segment.address, agent().metadata(segment.registration))
        return msgspec.msgpack.encode(token), None


class RemoteMapping:
    """`address` is one of the owner's process: only `agent().move` can use it."""

    def __init__(self, remote: Remote, address: int, size: int) -> None:
        self.remote = remote
        self.address = address
        self.size = size

    def close(self) -> None:
        agent().leave(self.remote, self.address)


class RemotePeer:
    maps = False

    def open(self, token: bytes, descriptor: int | None, size: int, *, writable: bool) -> RemoteMapping:
        try:
            told = msgspec.msgpack.decode(token, type=Token)
        except msgspec.DecodeError as error:
            raise MemoryFailed(f"a pool of kind nixl offers what nobody understands: {error}") from None
        return RemoteMapping(agent().reach(told.address, told.metadata), told.address, size)


def address_of(memory: mmap.mmap) -> int:
    return np.frombuffer(memory, np.uint8).ctypes.data
