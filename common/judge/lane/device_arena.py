"""The arena on a GPU: device memory of the judge's that the candidate's process maps too."""
from __future__ import annotations

import os
from functools import cache

import torch

from common.judge.device_memory import DeviceMemory, forget_persisting_lines, give_back_unused
from common.judge.lane.arena import Arena, HostArena
from common.judge.lane.parcel import ALIGNMENT
from common.judge.protocol import Gate

_CACHES = 2
"""A write of so many times the L2 cache's size leaves nothing of what was in it."""


class DeviceArena(Arena):
    """A frozen process's kernels still run, and one could wait in this memory for the next inputs. So these stay in
    memory of the judge's own until right before the call: behind a gate until all of it is launched. Copying them in,
    clearing the L2 cache after it, and copying the outputs out are timed, apart from what they surround.
    """

    apart = True

    def __init__(self, device: torch.device, inputs: int, outputs: int) -> None:
        self._device = device
        super().__init__(inputs, outputs)

    def _allocate(self, size: int) -> None:
        give_back_unused(self._device, 0)
        self._memory, self.fd = DeviceMemory.create(size + ALIGNMENT, self._device.index or 0)
        self._bytes, self.size = self._memory.bytes, self._memory.size
        self._word = self._bytes[size : size + 4].view(torch.int32)
        self._word.zero_()
        self._gate = Gate(at=size, value=0)

    def _place(self) -> None:
        return

    def deliver(self) -> None:
        self._write()
        _eviction(self._device).fill_(0)
        torch.cuda.synchronize(self._device)

    def gate(self) -> Gate:
        self._gate = Gate(at=self._gate.at, value=self._gate.value + 1)
        return self._gate

    def open(self) -> None:
        self._word.fill_(self._gate.value)

    def take(self) -> None:
        super().take()
        torch.cuda.synchronize(self._device)

    def poison(self, byte: int) -> None:
        super().poison(byte)
        forget_persisting_lines()

    def close(self) -> None:
        del self._bytes, self._word
        self._memory.close()
        os.close(self.fd)


@cache
def _eviction(device: torch.device) -> torch.Tensor:
    size = _CACHES * torch.cuda.get_device_properties(device).L2_cache_size
    return torch.empty(size, dtype=torch.uint8, device=device)


def new_arena(device: torch.device, inputs: int, outputs: int) -> Arena:
    """On the device, with room for inputs and outputs of so many bytes."""
    return DeviceArena(device, inputs, outputs) if device.type == "cuda" else HostArena(inputs, outputs)
