"""Copies between an engine's KV in host memory and pages of a pool: one vectorised copy a region and chunk."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from kvstore.checksum import checksums
from kvstore.engine.copier import Copied, Copy, Places
from kvstore.engine.slots import Ints
from kvstore.geometry import TRAILER, Geometry
from kvstore.memory import Mapping
from kvstore.memory.shm import SharedMapping

Bytes = npt.NDArray[np.uint8]


class HostCopier:
    """`regions`: the engine's KV, each (blocks, bytes); a page holds a block's bytes of all regions in this order."""

    slice_bytes = 16 * 2**20  # some 10 ms: a revocation waits for the copies under way
    queues = False

    def __init__(self, regions: Sequence[Bytes], geometry: Geometry, part: int) -> None:
        held = sum(region.shape[1] for region in regions)
        if held != geometry.payload:
            raise ValueError(f"the engine's blocks have {held} bytes, the pool's geometry says {geometry.payload}")
        self._regions = regions
        self._geometry = geometry
        self._begin = part * geometry.part_bytes

    def mark(self) -> None:
        """Nothing runs behind the host's back."""

    def store(self, blocks: Ints, places: Places, mark: None) -> Copy:
        for rows, pages, tags, view in self._by_chunk(places):
            data = self._gather(blocks[rows])
            view[pages, : data.shape[1]] = data
            trailer = np.stack([tags, checksums(data)], axis=1)
            view[pages, data.shape[1] : data.shape[1] + TRAILER] = trailer.view(np.uint8)
        return Copied(np.ones(len(places), dtype=bool))

    def load(self, blocks: Ints, places: Places, mark: None) -> Copy:
        """Blocks that are not what they should be are left as they were."""
        good = np.zeros(len(places), dtype=bool)
        size = self._geometry.payload
        for rows, pages, tags, view in self._by_chunk(places):
            data = np.ascontiguousarray(view[pages, :size])
            trailer = np.ascontiguousarray(view[pages, size : size + TRAILER]).view(np.uint64)
            ok = (trailer[:, 0] == tags) & (trailer[:, 1] == checksums(data))
            good[rows] = ok
            self._scatter(blocks[rows][ok], data[ok])
        return Copied(good)

    def _gather(self, blocks: Ints) -> Bytes:
        data = np.empty((len(blocks), self._geometry.payload), dtype=np.uint8)
        begin = 0
        for region in self._regions:
            data[:, begin : begin + region.shape[1]] = region[blocks]
            begin += region.shape[1]
        return data

    def _scatter(self, blocks: Ints, data: Bytes) -> None:
        begin = 0
        for region in self._regions:
            region[blocks] = data[:, begin : begin + region.shape[1]]
            begin += region.shape[1]

    def _by_chunk(self, places: Places) -> Iterator[tuple[Ints, Ints, npt.NDArray[np.uint64], Bytes]]:
        """For each chunk: which of the places, their pages and tags, and this part of the chunk as (pages, bytes)."""
        for number, mapping in enumerate(places.mappings):
            rows = np.flatnonzero(places.which == number)
            yield rows, places.pages[rows], places.tags[rows].astype(np.uint64), self._view(mapping)

    def _view(self, mapping: Mapping) -> Bytes:
        assert isinstance(mapping, SharedMapping)
        size = self._geometry.page_bytes
        whole = np.frombuffer(mapping.memory, np.uint8)[: mapping.size // size * size].reshape(-1, size)
        return whole[:, self._begin : self._begin + self._geometry.part_bytes]
