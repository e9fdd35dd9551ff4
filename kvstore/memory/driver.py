"""The few calls of the CUDA driver this package needs, by ctypes: no toolkit, no torch, and a small context."""
from __future__ import annotations

import ctypes
import uuid
from ctypes import byref, c_char, c_int, c_size_t, c_ubyte, c_uint64, c_ushort, c_void_p
from functools import lru_cache
from typing import Any

from kvstore.memory.base import MemoryFailed

_PINNED, _FILE_DESCRIPTOR, _ON_DEVICE, _READ_WRITE, _RECOMMENDED, _LAZY_PEER = 1, 1, 1, 3, 1, 1


class Location(ctypes.Structure):
    """CUmemLocation."""

    _fields_ = (("type", c_int), ("id", c_int))


class Properties(ctypes.Structure):
    """CUmemAllocationProp."""

    _fields_ = (
        ("type", c_int), ("handles", c_int), ("location", Location), ("win32", c_void_p),
        ("compression", c_ubyte), ("rdma", c_ubyte), ("usage", c_ushort), ("reserved", c_ubyte * 4),
    )


class Access(ctypes.Structure):
    """CUmemAccessDesc."""

    _fields_ = (("location", Location), ("flags", c_int))


class IpcHandle(ctypes.Structure):
    """CUipcMemHandle, passed by value."""

    _fields_ = (("reserved", c_char * 64),)


class Uuid(ctypes.Structure):
    _fields_ = (("bytes", c_ubyte * 16),)


@lru_cache(maxsize=1)
def library() -> Any:
    """libcuda, initialised; MemoryFailed where there is no driver or no device."""
    try:
        loaded = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise MemoryFailed(f"no CUDA driver ({error}): set SPECGEN_KVSTORE_KIND=shm, or install the driver") from None
    if code := loaded.cuInit(0):
        raise MemoryFailed(f"the CUDA driver cannot start: error {code}")
    return loaded


def call(function: str, *arguments: Any) -> None:
    """MemoryFailed with the driver's own name for what went wrong."""
    code = getattr(library(), function)(*arguments)
    if code:
        name = ctypes.c_char_p()
        library().cuGetErrorName(code, byref(name))
        raise MemoryFailed(f"{function}: {(name.value or b'?').decode()} ({code})")


def device_by_uuid(wanted: str) -> int:
    """The ordinal of `GPU-…` among the visible devices."""
    count = c_int()
    call("cuDeviceGetCount", byref(count))
    found = [_uuid(ordinal) for ordinal in range(count.value)]
    if wanted not in found:
        raise MemoryFailed(f"no GPU {wanted} is visible: {', '.join(found) or 'none is'}; see CUDA_VISIBLE_DEVICES")
    return found.index(wanted)


def _uuid(ordinal: int) -> str:
    raw = Uuid()
    call("cuDeviceGetUuid", byref(raw), c_int(ordinal))
    return f"GPU-{uuid.UUID(bytes=bytes(raw.bytes))}"


def retain_context(ordinal: int) -> int:
    """The device's primary context, made current for this thread."""
    context = c_void_p()
    call("cuDevicePrimaryCtxRetain", byref(context), c_int(ordinal))
    if not context.value:
        raise MemoryFailed(f"device {ordinal} has no context")
    use_context(context.value)
    return context.value


def current_context() -> int:
    """This thread's; MemoryFailed where it has none."""
    context = c_void_p()
    call("cuCtxGetCurrent", byref(context))
    if not context.value:
        raise MemoryFailed("no CUDA context is current: initialise the device before mapping a pool")
    return context.value


def use_context(context: int) -> None:
    """For this thread."""
    call("cuCtxSetCurrent", c_void_p(context))


def current_device() -> int:
    ordinal = c_int()
    call("cuCtxGetDevice", byref(ordinal))
    return ordinal.value


def memory_info() -> tuple[int, int]:
    """(free, total) bytes of the current device, whoever uses it."""
    free, total = c_size_t(), c_size_t()
    call("cuMemGetInfo_v2", byref(free), byref(total))
    return free.value, total.value


def fill_zero(address: int, size: int) -> None:
    call("cuMemsetD8_v2", c_uint64(address), c_ubyte(0), c_size_t(size))
    call("cuCtxSynchronize")


# Virtual memory management: physical memory with a descriptor, mapped where each process likes

def granularity(ordinal: int) -> int:
    size = c_size_t()
    call("cuMemGetAllocationGranularity", byref(size), byref(_properties(ordinal)), c_int(_RECOMMENDED))
    return size.value


def create(ordinal: int, size: int) -> int:
    """Physical memory that can be exported; its handle."""
    handle = c_uint64()
    call("cuMemCreate", byref(handle), c_size_t(size), byref(_properties(ordinal)), c_uint64(0))
    return handle.value


def export_descriptor(handle: int) -> int:
    descriptor = c_int()
    call("cuMemExportToShareableHandle", byref(descriptor), c_uint64(handle), c_int(_FILE_DESCRIPTOR), c_uint64(0))
    return descriptor.value


def import_descriptor(descriptor: int) -> int:
    handle = c_uint64()
    call("cuMemImportFromShareableHandle", byref(handle), c_void_p(descriptor), c_int(_FILE_DESCRIPTOR))
    return handle.value


def release(handle: int) -> None:
    """The memory goes back to the device when nobody maps it any more."""
    call("cuMemRelease", c_uint64(handle))


def map_memory(handle: int, size: int, ordinal: int) -> int:
    """Map physical memory for a device, which may be another than the one it is on; its address."""
    address = c_uint64()
    call("cuMemAddressReserve", byref(address), c_size_t(size), c_size_t(0), c_uint64(0), c_uint64(0))
    try:
        call("cuMemMap", address, c_size_t(size), c_size_t(0), c_uint64(handle), c_uint64(0))
    except MemoryFailed:
        call("cuMemAddressFree", address, c_size_t(size))
        raise
    try:
        access = Access(Location(_ON_DEVICE, ordinal), _READ_WRITE)
        call("cuMemSetAccess", address, c_size_t(size), byref(access), c_size_t(1))
    except MemoryFailed:
        unmap_memory(address.value, size)
        raise
    return address.value


def unmap_memory(address: int, size: int) -> None:
    call("cuMemUnmap", c_uint64(address), c_size_t(size))
    call("cuMemAddressFree", c_uint64(address), c_size_t(size))


def _properties(ordinal: int) -> Properties:
    return Properties(type=_PINNED, handles=_FILE_DESCRIPTOR, location=Location(_ON_DEVICE, ordinal))


# The older handles

def allocate(size: int) -> int:
    address = c_uint64()
    call("cuMemAlloc_v2", byref(address), c_size_t(size))
    return address.value


def free(address: int) -> None:
    call("cuMemFree_v2", c_uint64(address))


def ipc_handle(address: int) -> bytes:
    handle = IpcHandle()
    call("cuIpcGetMemHandle", byref(handle), c_uint64(address))
    return bytes(handle)


def ipc_open(token: bytes) -> int:
    address = c_uint64()
    call("cuIpcOpenMemHandle_v2", byref(address), IpcHandle.from_buffer_copy(token), c_int(_LAZY_PEER))
    return address.value


def ipc_close(address: int) -> None:
    call("cuIpcCloseMemHandle", c_uint64(address))
