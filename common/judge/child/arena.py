"""Memory shared with the judge: inputs come through it, outputs go through it."""
from __future__ import annotations

import mmap
import os
from typing import Any

import torch

from common.judge.device_memory import DeviceMemory
from common.judge.protocol import SpareSpec


class Arena:
    """The judge's memory, mapped here and filled in by it. The judge keeps its own copy of what it wrote."""

    def __init__(self, fd: int, size: int, spec: SpareSpec) -> None:
        """Of `size` bytes: host memory, or the device's own where the candidate runs on one."""
        self.size = size
        self._rooms: dict[Any, torch.Tensor] = {}
        self._device: DeviceMemory | None = None
        if spec.role == "cuda":
            self._device = DeviceMemory.open(fd, size, spec.index)
            self.bytes = self._device.bytes
        else:
            self.bytes = _map(fd, size)

    def close(self) -> None:
        """A device's memory is unmapped, whatever of the candidate's still points at it: these are former calls'
        inputs, which are nothing to it any more. A host's is when nothing does."""
        if self._device is not None:
            self._device.close()

    def tensor(self, body: Any, begins: int) -> torch.Tensor:
        """An input: its storage's bytes are at `at` from where the inputs begin."""
        dtype, at = getattr(torch, body["dtype"]), begins + body["at"]
        flat = self.bytes[at : at + body["bytes"]].view(dtype)
        return flat.as_strided(body["shape"], body["stride"], flat.storage_offset())

    def room(self, at: int, shape: Any, dtype: torch.dtype, count: int) -> torch.Tensor:
        """Where an output of `count` bytes goes. Once made it is kept: to make it takes longer than many kernels."""
        room = self._rooms.get((at, shape, dtype))
        if room is None:
            room = self._rooms[at, shape, dtype] = self.bytes[at : at + count].view(dtype).view(shape)
        return room


def _map(fd: int, size: int) -> torch.Tensor:
    memory = mmap.mmap(fd, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    os.close(fd)
    return torch.frombuffer(memory, dtype=torch.uint8)
