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
from kvstore.engine.copier import COLUMNS, Bools, Copy, Places, fill
from kvstore.engine.slices import FIRST_BYTES, next_slice
from kvstore.engine.slots import Ints
from kvstore.geometry import Geometry
from kvstore.wire import KEYS

_TILE_WORDS = 2_048
_ROWS = 128
_ITEMS = 4
"""Items a program has at least, where there are enough tiles: with fewer most programs would wait for the last."""
STORE_PROGRAMS, LOAD_PROGRAMS = 64, 1_056
"""Programs a copy runs: few for a store, which shares the GPU with decoding streams; for a load, which a request waits
for, eight for each of a large GPU's multiprocessors."""


class DeviceCopier:
    """`regions`: the engine's KV, each (blocks, bytes); a page holds a block's bytes of all regions in this order."""

    queues = True

    def __init__(self, regions: Sequence[torch.Tensor], geometry: Geometry, part: int, programs: int) -> None:
        held = sum(region.shape[1] * region.element_size() for region in regions)
        if held != geometry.payload:
            raise ValueError(f"the engine's blocks have {held} bytes, the pool's geometry says {geometry.payload}")
        self._device = regions[0].device
        self._geometry = geometry
        self._part = part
        self.programs = programs
        self._words, tiles = tile(regions)
        self._tiles = torch.from_numpy(tiles).to(self._device).unbind()
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._drawers: list[Drawer] = []
        """Those that no copy uses."""
        self.slice_bytes = FIRST_BYTES

    def mark(self) -> torch.cuda.Event:
        """The engine's forward pass, which writes and reads blocks, on the stream where it is queued."""
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def store(self, blocks: Ints, places: Places, mark: torch.cuda.Event) -> Copy:
        count = len(blocks)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            drawer = self._drawer()
            self._stream.wait_event(mark)
            drawer.began.record(self._stream)
            numbers, pages, tags, sums = drawer.upload(blocks, places, self._geometry, self._part)
            self.copy(numbers, pages, load=False, sums=sums)
            kernels.seal[(-(-count // _ROWS),)](pages, tags, sums, self._geometry.payload, count, ROWS=_ROWS)
            drawer.done.record(self._stream)
        return Launched(self, drawer, count, checks=False)

    def load(self, blocks: Ints, places: Places, mark: torch.cuda.Event) -> Copy:
        count = len(blocks)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            drawer = self._drawer()
            self._stream.wait_event(mark)
            drawer.began.record(self._stream)
            numbers, pages, tags, sums = drawer.upload(blocks, places, self._geometry, self._part)
            self.copy(numbers, pages, load=True, sums=sums)
            kernels.verify[(-(-count // _ROWS),)](
                pages, tags, sums, drawer.good, self._geometry.payload, count, ROWS=_ROWS
            )
            drawer.answer.copy_(drawer.good, non_blocking=True)
            drawer.done.record(self._stream)
        return Launched(self, drawer, count, checks=True)

    def warm(self) -> None:
        """Have Triton compile the kernels before somebody waits for a copy. The first block goes to a page of nobody's
        and comes back."""
        block = np.zeros(1, dtype=np.int64)
        places = Places([Buffer(self._device, self._geometry.page_bytes)], block, block, block)
        mark = self.mark()
        for copy in (self.store(block, places, mark), self.load(block, places, mark)):
            copy.result()

    def _drawer(self) -> Drawer:
        """One that nobody uses; where the copy that has it never ends it does not come back."""
        return self._drawers.pop() if self._drawers else Drawer(self._device)

    def put_back(self, drawer: Drawer, count: int) -> None:
        """Once its copy is done, of which the next ones' size is learnt."""
        seconds = 1e-3 * drawer.began.elapsed_time(drawer.done)
        self.slice_bytes = next_slice(self.slice_bytes, count * self._geometry.payload, seconds)
        self._drawers.append(drawer)

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


class Launched:
    """A copy of `count` blocks on the device."""

    def __init__(self, copier: DeviceCopier, drawer: Drawer, count: int, *, checks: bool) -> None:
        self._copier = copier
        self._drawer = drawer
        self._count = count
        self._checks = checks

    def ready(self) -> bool:
        return bool(self._drawer.done.query())  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Where another thread takes the result meanwhile, the drawer may be the next copy's: then until that is done,
        too."""
        self._drawer.done.synchronize()

    def result(self) -> Bools:
        self.wait()
        good: Bools = np.ones(self._count, dtype=bool)
        if self._checks:
            good = self._drawer.answer.numpy()[: self._count] != 0
        self._copier.put_back(self._drawer, self._count)
        return good


class Drawer:
    """What one copy under way needs besides the blocks, of which it has at most KEYS: made on its copier's stream, kept
    for the copies that follow."""

    def __init__(self, device: torch.device) -> None:
        self._host = torch.empty(COLUMNS * KEYS, dtype=torch.int64, pin_memory=True)
        self._device = torch.empty(COLUMNS * KEYS, dtype=torch.int64, device=device)
        self.good = torch.empty(KEYS, dtype=torch.int32, device=device)
        self.answer = torch.empty(KEYS, dtype=torch.int32, pin_memory=True)
        self.began = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self.done = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]
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
