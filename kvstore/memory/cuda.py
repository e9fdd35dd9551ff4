"""Device memory, two ways to show it to another process.

`vmm`: physical memory with a descriptor. A peer's mapping outlives the owner's release; the memory returns to the
device when the last one unmaps. `ipc`: the older handles. The owner must not free what a peer has open, so a chunk is
released only when every peer has said that it closed it (which the pool demands of both kinds).

On a GPU no reader can be kept from writing: access is by device, not by process. Checksums tell when one did.
"""
from __future__ import annotations

from kvstore.memory import driver
from kvstore.memory.base import MemoryFailed, Segment


class _Owner:
    """What both kinds share: a context on the device, and its free memory."""

    def __init__(self, device: str) -> None:
        self._ordinal = driver.device_by_uuid(device)
        self._context = driver.retain_context(self._ordinal)

    def free(self) -> int:
        driver.use_context(self._context)
        return driver.memory_info()[0]

    def total(self) -> int:
        driver.use_context(self._context)
        return driver.memory_info()[1]


class VirtualSegment:
    def __init__(self, ordinal: int, size: int) -> None:
        self.size = size
        self.handle = driver.create(ordinal, size)
        try:
            self._address = driver.map_memory(self.handle, size, ordinal)
        except MemoryFailed:
            driver.release(self.handle)
            raise
        driver.fill_zero(self._address, size)

    def release(self) -> None:
        driver.unmap_memory(self._address, self.size)
        driver.release(self.handle)


class VirtualOwner(_Owner):
    kind = "vmm"

    def round_up(self, size: int) -> int:
        step = driver.granularity(self._ordinal)
        return -(-size // step) * step

    def allocate(self, size: int) -> VirtualSegment:
        driver.use_context(self._context)
        return VirtualSegment(self._ordinal, size)

    def export(self, segment: Segment, *, writable: bool) -> tuple[bytes, int | None]:
        assert isinstance(segment, VirtualSegment)
        return b"", driver.export_descriptor(segment.handle)


class VirtualMapping:
    def __init__(self, address: int, size: int, context: int) -> None:
        self.address = address
        self.size = size
        self._context = context

    def close(self) -> None:
        driver.use_context(self._context)
        driver.unmap_memory(self.address, self.size)


class VirtualPeer:
    """Maps into `context`, from whatever thread."""

    maps = True

    def __init__(self, context: int) -> None:
        self._context = context

    def open(self, token: bytes, descriptor: int | None, size: int, *, writable: bool) -> VirtualMapping:
        if descriptor is None:
            raise MemoryFailed("device memory came without its descriptor")
        driver.use_context(self._context)
        handle = driver.import_descriptor(descriptor)
        try:
            address = driver.map_memory(handle, size, driver.current_device())
        finally:
            driver.release(handle)
        return VirtualMapping(address, size, self._context)


class LegacySegment:
    def __init__(self, size: int) -> None:
        self.size = size
        self.address = driver.allocate(size)
        driver.fill_zero(self.address, size)

    def release(self) -> None:
        driver.free(self.address)


class LegacyOwner(_Owner):
    kind = "ipc"

    def round_up(self, size: int) -> int:
        step = 2 * 2**20
        return -(-size // step) * step

    def allocate(self, size: int) -> LegacySegment:
        driver.use_context(self._context)
        return LegacySegment(size)

    def export(self, segment: Segment, *, writable: bool) -> tuple[bytes, int | None]:
        assert isinstance(segment, LegacySegment)
        driver.use_context(self._context)
        return driver.ipc_handle(segment.address), None


class LegacyMapping:
    def __init__(self, address: int, size: int, context: int) -> None:
        self.address = address
        self.size = size
        self._context = context

    def close(self) -> None:
        driver.use_context(self._context)
        driver.ipc_close(self.address)


class LegacyPeer:
    maps = True

    def __init__(self, context: int) -> None:
        self._context = context

    def open(self, token: bytes, descriptor: int | None, size: int, *, writable: bool) -> LegacyMapping:
        driver.use_context(self._context)
        return LegacyMapping(driver.ipc_open(token), size, self._context)
