"""Device memory that two processes map: made here, its descriptor sent over a socket, mapped there.

The driver's virtual memory management, by ctypes. The older CUDA IPC handles would do for processes that share PID and
IPC namespaces; a descriptor crosses the sandbox's, comes as the host arena's does, and what one side unmaps stays valid
on the other until that one unmaps it too.
"""
from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_int, c_size_t, c_ubyte, c_uint, c_uint32, c_uint64, c_ushort, c_void_p
from functools import cache
from typing import Any

import torch

_PINNED, _FILE_DESCRIPTOR, _ON_DEVICE, _READ_WRITE, _RECOMMENDED = 1, 1, 1, 3, 1
_OUT_OF_MEMORY = 2
_HOARD = 1 << 30
"""Freed bytes that torch may keep for one of a device's processes while others want memory."""


class _Location(ctypes.Structure):
    """CUmemLocation."""

    _fields_ = (("type", c_int), ("id", c_int))


class _Properties(ctypes.Structure):
    """CUmemAllocationProp."""

    _fields_ = (
        ("type", c_int), ("handles", c_int), ("location", _Location), ("win32", c_void_p),
        ("compression", c_ubyte), ("rdma", c_ubyte), ("usage", c_ushort), ("reserved", c_ubyte * 4),
    )


class _Access(ctypes.Structure):
    """CUmemAccessDesc."""

    _fields_ = (("location", _Location), ("flags", c_int))


class DeviceMemory:
    """A mapping of physical device memory; `bytes` is a tensor over it, valid until `close`.

    RuntimeError with `CUDA error` where the driver refuses, torch.OutOfMemoryError where there is too little left.
    """

    def __init__(self, handle: int, size: int, index: int) -> None:
        self.size = size
        self._handle = handle
        address = c_uint64()
        _call("cuMemAddressReserve", byref(address), c_size_t(size), c_size_t(0), c_uint64(0), c_uint64(0))
        _call("cuMemMap", address, c_size_t(size), c_size_t(0), c_uint64(handle), c_uint64(0))
        access = _Access(_Location(_ON_DEVICE, index), _READ_WRITE)
        _call("cuMemSetAccess", address, c_size_t(size), byref(access), c_size_t(1))
        self._address = address
        self.bytes = torch.as_tensor(_Raw(address.value, size), device=torch.device("cuda", index))

    @classmethod
    def create(cls, size: int, index: int) -> tuple[DeviceMemory, int]:
        """At least `size` bytes on a device, and their descriptor, the caller's to close."""
        torch.cuda.synchronize(index)  # the driver calls below need the context that torch makes at first use
        size = -(-size // _granularity(index)) * _granularity(index)
        handle, descriptor = c_uint64(), c_int(-1)
        _call("cuMemCreate", byref(handle), c_size_t(size), byref(_properties(index)), c_uint64(0))
        try:
            _call("cuMemExportToShareableHandle", byref(descriptor), handle, c_int(_FILE_DESCRIPTOR), c_uint64(0))
            return cls(handle.value, size, index), descriptor.value
        except BaseException:
            if descriptor.value >= 0:
                os.close(descriptor.value)
            _call("cuMemRelease", handle)
            raise

    @classmethod
    def open(cls, descriptor: int, size: int, index: int) -> DeviceMemory:
        """From another process's descriptor, which is closed."""
        handle = c_uint64()
        _call("cuMemImportFromShareableHandle", byref(handle), c_void_p(descriptor), c_int(_FILE_DESCRIPTOR))
        os.close(descriptor)
        return cls(handle.value, size, index)

    def close(self) -> None:
        """Unmap; the memory is free once every process that maps it has done so or ended."""
        torch.cuda.synchronize()
        del self.bytes
        _call("cuMemUnmap", self._address, c_size_t(self.size))
        _call("cuMemAddressFree", self._address, c_size_t(self.size))
        _call("cuMemRelease", c_uint64(self._handle))


class _Raw:
    """What torch takes for a tensor's memory."""

    def __init__(self, address: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,), "typestr": "|u1", "data": (address, False), "strides": None, "version": 3,
        }


@cache
def _granularity(index: int) -> int:
    size = c_size_t()
    _call("cuMemGetAllocationGranularity", byref(size), byref(_properties(index)), c_int(_RECOMMENDED))
    return size.value


def _properties(index: int) -> _Properties:
    return _Properties(type=_PINNED, handles=_FILE_DESCRIPTOR, location=_Location(_ON_DEVICE, index))


@cache
def _driver() -> Any:
    return ctypes.CDLL("libcuda.so.1")


def _call(function: str, *arguments: Any) -> None:
    code = getattr(_driver(), function)(*arguments)
    if code == _OUT_OF_MEMORY:
        raise torch.OutOfMemoryError(f"CUDA out of memory: {function}")
    if code:
        name = ctypes.c_char_p()
        _driver().cuGetErrorName(code, byref(name))
        raise RuntimeError(f"CUDA error: {function}: {(name.value or b'?').decode()} ({code})")


def wait_for(address: int, value: int) -> None:
    """What is launched on the current stream from here on waits until the word at this address is at least `value`."""
    stream = c_void_p(torch.cuda.current_stream().cuda_stream)
    _call("cuStreamWaitValue32_v2", stream, c_uint64(address), c_uint32(value), c_uint(0))


def forget_persisting_lines() -> None:
    """Lines of the L2 cache that a kernel asked to keep are ordinary again, for the whole device."""
    _call("cuCtxResetPersistingL2Cache")


def give_back_unused(device: torch.device, most: int = _HOARD) -> None:
    """Let the device's other processes have what freed tensors have left in torch's cache, if it is more than `most`
    bytes."""
    if device.type == "cuda" and torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device) > most:
        torch.cuda.empty_cache()
