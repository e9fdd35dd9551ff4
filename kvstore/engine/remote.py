"""Copies to and from pages that cannot be mapped: through a buffer that is laid out like a chunk.

What a page consists of, its checksum and its trailer stay the business of the copier for the engine's own memory; NIXL
moves whole pages between the buffer and the pool.
"""
from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from kvstore.engine.copier import Copier, Place, Wait
from kvstore.geometry import Geometry
from kvstore.memory import Mapping, MemoryFailed
from kvstore.memory.agent import Agent, Span, agent
from kvstore.memory.nixl import RemoteMapping, address_of
from kvstore.memory.shm import SharedMapping

_BUFFER_BYTES = 16 * 2**20


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

    def store(self, blocks: Sequence[int], places: Sequence[Place], mark: Any) -> Wait:
        """MemoryFailed where the pool's host cannot be reached."""
        if not _remote(places):
            return self._inner.store(blocks, places, mark)
        for some, theirs, ours in self._slices(blocks, places):
            self._inner.store(some, ours, mark)()
            self._move("WRITE", ours, theirs)
        return lambda: [True] * len(places)

    def load(self, blocks: Sequence[int], places: Sequence[Place], mark: Any) -> Wait:
        """MemoryFailed as above; the blocks hold what they did, or rubbish."""
        if not _remote(places):
            return self._inner.load(blocks, places, mark)
        good: list[bool] = []
        for some, theirs, ours in self._slices(blocks, places):
            self._move("READ", ours, theirs)
            good += self._inner.load(some, ours, mark)()
        return lambda: good

    def _slices(
        self, blocks: Sequence[int], places: Sequence[Place]
    ) -> Iterator[tuple[Sequence[int], Sequence[Place], list[Place]]]:
        """As many as the buffer holds at a time, with the pages of the buffer they go through."""
        for begin in range(0, len(places), self._pages):
            some, theirs = blocks[begin : begin + self._pages], places[begin : begin + self._pages]
            buffer = self._buffer or self._new_buffer()
            yield some, theirs, [Place(buffer, page, place.tag) for page, place in enumerate(theirs)]

    def _new_buffer(self) -> Mapping:
        buffer = self._make_buffer(self._pages * self._geometry.page_bytes)
        agent().register(buffer.address, buffer.size, device=self._device)
        self._buffer = buffer
        return buffer

    def _move(self, direction: Literal["READ", "WRITE"], ours: Sequence[Place], theirs: Sequence[Place]) -> None:
        remote = theirs[0].mapping
        assert isinstance(remote, RemoteMapping), "one pool's places are all of one kind"
        mover: Agent = agent()
        here, there = self._spans(ours, self._device or 0), self._spans(theirs, 0)
        try:
            mover.move(direction, here, there, remote.remote, device=self._device)
        except MemoryFailed:
            # It may still be written to: kept for ever, and never used again.
            self._spoilt.append(ours[0].mapping)
            self._buffer = None
            raise

    def _spans(self, places: Sequence[Place], device: int) -> list[Span]:
        """This worker's part of each page."""
        offset, size = self._geometry.offset, self._geometry.part_bytes
        return [(p.mapping.address + offset(p.page, self._part), size, device) for p in places]


def host_buffer(size: int) -> SharedMapping:
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return SharedMapping(memory, address_of(memory), size)


def _remote(places: Sequence[Place]) -> bool:
    return bool(places) and isinstance(places[0].mapping, RemoteMapping)
