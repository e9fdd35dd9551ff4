"""Copies to and from pages that cannot be mapped: through a buffer that is laid out like a chunk.

What a page consists of, its checksum and its trailer stay the business of the copier for the engine's own memory; NIXL
moves whole pages between the buffer and the pool.
"""
from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from kvstore.engine.copier import Copied, Copier, Copy, Places
from kvstore.engine.slots import Ints
from kvstore.geometry import Geometry
from kvstore.memory import Mapping, MemoryFailed
from kvstore.memory.agent import Agent, Span, agent
from kvstore.memory.nixl import RemoteMapping, address_of
from kvstore.memory.shm import SharedMapping

_BUFFER_BYTES = 16 * 2**20
_SPOILT = 8
"""Buffers that failed reads may cost: with so many the pool's host is not worth another."""


class RemoteCopier:
    """`inner` copies pages that are mapped, and between the engine and the buffer. `make_buffer` makes memory of a size
    that `inner` can use; `device` is its GPU's number, None for host memory."""

    def __init__(
        self, inner: Copier, geometry: Geometry, part: int, make_buffer: Callable[[int], Mapping], device: int | None
    ) -> None:
        self._inner = inner
        self._geometry = geometry
        self._part = part
        self._make_buffer = make_buffer
        self._device = device
        self._pages = max(1, _BUFFER_BYTES // geometry.page_bytes)
        self._buffer: Mapping | None = None
        self._spoilt: list[Mapping] = []

    def mark(self) -> Any:
        return self._inner.mark()

    @property
    def slice_bytes(self) -> int:
        return self._inner.slice_bytes

    @property
    def queues(self) -> bool:
        return self._inner.queues

    def store(self, blocks: Ints, places: Places, mark: Any) -> Copy:
        """MemoryFailed where the pool's host cannot be reached."""
        if not _remote(places):
            return self._inner.store(blocks, places, mark)
        for some, theirs, ours in self._slices(blocks, places):
            self._inner.store(some, ours, mark).result()
            self._move("WRITE", ours, theirs)
        return Copied(np.ones(len(places), dtype=bool))

    def load(self, blocks: Ints, places: Places, mark: Any) -> Copy:
        """MemoryFailed as above; the blocks hold what they did, or rubbish."""
        if not _remote(places):
            return self._inner.load(blocks, places, mark)
        good = []
        for some, theirs, ours in self._slices(blocks, places):
            self._move("READ", ours, theirs)
            good.append(self._inner.load(some, ours, mark).result())
        return Copied(np.concatenate(good))

    def _slices(self, blocks: Ints, places: Places) -> Iterator[tuple[Ints, Places, Places]]:
        """As many as the buffer holds at a time, with the pages of the buffer they go through."""
        for begin in range(0, len(places), self._pages):
            theirs = places.some(begin, begin + self._pages)
            buffer, count = self._buffer or self._new_buffer(), len(theirs)
            ours = Places([buffer], np.zeros(count, dtype=np.int64), np.arange(count), theirs.tags)
            yield blocks[begin : begin + count], theirs, ours

    def _new_buffer(self) -> Mapping:
        if len(self._spoilt) >= _SPOILT:
            raise MemoryFailed(f"{_SPOILT} reads from pools on other hosts have failed: no more are tried")
        buffer = self._make_buffer(self._pages * self._geometry.page_bytes)
        agent().register(buffer.address, buffer.size, device=self._device)
        self._buffer = buffer
        return buffer

    def _move(self, direction: Literal["READ", "WRITE"], ours: Places, theirs: Places) -> None:
        remote = theirs.mappings[0]
        assert isinstance(remote, RemoteMapping), "one pool's places are all of one kind"
        mover: Agent = agent()
        here, there = self._spans(ours, self._device or 0), self._spans(theirs, 0)
        try:
            mover.move(direction, here, there, remote.remote, device=self._device)
        except MemoryFailed:
            if direction == "READ":
                # It may still be written to: kept for ever, and never used again. A write that goes on takes what the
                # buffer holds by then to a page that was given up, where it fits neither the tag nor the checksum.
                self._spoilt.append(ours.mappings[0])
                self._buffer = None
            raise

    def _spans(self, places: Places, device: int) -> list[Span]:
        """This worker's part of each page."""
        size = self._geometry.part_bytes
        return [(address, size, device) for address in places.addresses(self._geometry, self._part).tolist()]


def host_buffer(size: int) -> SharedMapping:
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return SharedMapping(memory, address_of(memory), size)


def _remote(places: Places) -> bool:
    return any(isinstance(mapping, RemoteMapping) for mapping in places.mappings)
