"""Copies between an engine's KV in GPU memory and pages mapped into its context, on a stream of their own.

A transfer is one upload and two launches: the copy, which also adds up the checksums, and the trailers' writing or
checking. All else is kept from one transfer to the next: what the host does is what a small copy costs.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from kvstore.engine import kernels
from kvstore.engine.copier import COLUMNS, Bools, Places, Wait, fill
from kvstore.engine.slots import Ints
from kvstore.geometry import Geometry

_TILE_WORDS = 2_048
_ROWS = 128
_ITEMS = 4
"""Items a program has at least, where there are enough tiles: with fewer most programs would wait for the last."""
STORE_PROGRAMS, LOAD_PROGRAMS = 64, 1_056
"""Programs a copy runs: few for a store, which shares the GPU with decoding streams; for a load, which a request waits
for, eight for each of a large GPU's multiprocessors."""


class DeviceCopier:
    """`regions`: the engine's KV, each (blocks, bytes); a page holds a block's bytes of all regions in this order."""

    slice_bytes = 512 * 2**20
    """Two are under way at a time: 0.7 ms within a device, 20 ms over PCIe. A revocation waits for no more."""

    def __init__(self, regions: Sequence[torch.Tensor], geometry: Geometry, part: int, programs: int) -> None:
        held = sum(region.shape[1] * region.element_size() for region in regions)
        if held != geometry.payload:
            raise ValueError(f"the engine's blocks have {held} bytes, the pool's geometry says {geometry.payload}")
        self._device = regions[0].device
        self._geometry = geometry
        self._part = part
        self.programs = programs
        self._words, tiles = tile(regions)
        self._tiles = torch.from_numpy(tiles).to(self._device)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._drawers: list[Drawer] = []
        """Those that no copy uses."""

    def mark(self) -> torch.cuda.Event:
        """The engine's forward pass, which writes and reads blocks, on the stream where it is queued."""
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def store(self, blocks: Ints, places: Places, mark: torch.cuda.Event) -> Wait:
        count = len(blocks)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            drawer = self._drawer(count)
            self._stream.wait_event(mark)
            numbers, pages, tags, sums = drawer.upload(blocks, places, self._geometry, self._part)
            self.copy(numbers, pages, load=False, sums=sums)
            kernels.seal[(-(-count // _ROWS),)](pages, tags, sums, self._geometry.payload, count, ROWS=_ROWS)
            drawer.done.record(self._stream)

        def wait() -> Bools:
            drawer.done.synchronize()
            self._drawers.append(drawer)
            return np.ones(count, dtype=bool)

        return wait

    def load(self, blocks: Ints, places: Places, mark: torch.cuda.Event) -> Wait:
        count = len(blocks)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            drawer = self._drawer(count)
            self._stream.wait_event(mark)
            numbers, pages, tags, sums = drawer.upload(blocks, places, self._geometry, self._part)
            self.copy(numbers, pages, load=True, sums=sums)
            kernels.verify[(-(-count // _ROWS),)](
                pages, tags, sums, drawer.good, self._geometry.payload, count, ROWS=_ROWS
            )
            drawer.answer[:count].copy_(drawer.good[:count], non_blocking=True)
            drawer.done.record(self._stream)

        def wait() -> Bools:
            drawer.done.synchronize()
            good: Bools = drawer.answer[:count].numpy() != 0
            self._drawers.append(drawer)
            return good

        return wait

    def _drawer(self, rows: int) -> Drawer:
        """One that nobody uses; where the copy that has it never ends it does not come back."""
        fits = next((n for n, drawer in enumerate(self._drawers) if drawer.rows >= rows), None)
        return Drawer(self._device, rows) if fits is None else self._drawers.pop(fits)

    def copy(self, numbers: torch.Tensor, pages: torch.Tensor, *, load: bool, sums: torch.Tensor) -> None:
        """One launch on the current stream; (blocks,) int64 each: block numbers, page addresses, and zeros, to which
        the checksums are added."""
        address, stride, offset, words = self._tiles
        span = span_of(len(numbers), len(address), self.programs)
        spans = -(-len(address) // span)
        items = len(numbers) * spans
        kernels.copy_blocks[(min(self.programs, items),)](
            address, stride, offset, words, numbers, pages, sums, items, spans, span, len(address),
            LOAD=load, WORDS=self._words, num_warps=8,
        )


class Drawer:
    """What one copy under way needs besides the blocks, for up to `rows` blocks: made on its copier's stream, kept for
    the copies that follow."""

    def __init__(self, device: torch.device, rows: int) -> None:
        self.rows = max(_ROWS, 1 << (rows - 1).bit_length())
        self._host = torch.empty(COLUMNS * self.rows, dtype=torch.int64, pin_memory=True)
        self._device = torch.empty(COLUMNS * self.rows, dtype=torch.int64, device=device)
        self.good = torch.empty(self.rows, dtype=torch.int32, device=device)
        self.answer = torch.empty(self.rows, dtype=torch.int32, pin_memory=True)
        self.done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        """Waited for without spinning: the engine's thread needs the processor."""

    def upload(self, blocks: Ints, places: Places, geometry: Geometry, part: int) -> Sequence[torch.Tensor]:
        """Block numbers, page addresses, tags, and zeros for the checksums, in one copy."""
        size = COLUMNS * len(blocks)
        fill(self._host.numpy()[:size].reshape(COLUMNS, -1), blocks, places, geometry, part)
        table = self._device[:size]
        table.copy_(self._host[:size], non_blocking=True)
        return table.view(COLUMNS, -1).unbind()


def span_of(blocks: int, tiles: int, programs: int) -> int:
    """Tiles that a program copies in one go: a whole block, or less where that leaves programs with little to do."""
    return max(1, min(tiles, blocks * tiles // (_ITEMS * programs)))


class Buffer:
    """Memory of the engine's GPU through which pages go that cannot be mapped; zeroed."""

    def __init__(self, device: torch.device, size: int) -> None:
        self._memory = torch.zeros(size, dtype=torch.uint8, device=device)
        self.address = self._memory.data_ptr()
        self.size = size

    def close(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)


def tile(regions: Sequence[torch.Tensor]) -> tuple[int, npt.NDArray[np.int64]]:
    """Words a tile has at most, and the four rows that `copy_blocks` takes: address, stride, offset, words.

    ValueError where something is not aligned to the 16 bytes the kernel moves at once.
    """
    sizes = [region.shape[1] * region.element_size() for region in regions]
    largest = min(_TILE_WORDS, 1 << (max(sizes) // 8 - 1).bit_length())
    rows: list[tuple[int, int, int, int]] = []
    begin = 0
    for region, size in zip(regions, sizes, strict=True):
        stride = region.stride(0) * region.element_size()
        if (region.data_ptr() | stride | size) % 16:
            raise ValueError(f"KV at {region.data_ptr():#x}, {size} bytes every {stride}: not aligned to 16 bytes")
        for at in range(0, size, largest * 8):
            rows.append((region.data_ptr() + at, stride, begin + at, min(largest, (size - at) // 8)))
        begin += size
    return largest, np.array(rows, dtype=np.int64).T.copy()
