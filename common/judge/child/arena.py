"""Memory shared with the judge: inputs come through it, outputs go through it."""
from __future__ import annotations

import mmap
import os
from typing import Any

import torch

from common.judge.protocol import SpareSpec


class Arena:
    """The judge's memory, mapped here and filled in by it; `base` is its address in this process."""

    def __init__(self, fd: int, size: int, spec: SpareSpec) -> None:
        if spec.role == "cuda":
            raise NotImplementedError("cuda arena")
        memory = mmap.mmap(fd, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        os.close(fd)
        self.bytes = torch.frombuffer(memory, dtype=torch.uint8)
        self.base = self.bytes.data_ptr()
        self.size = size

    def tensor(self, body: Any) -> torch.Tensor:
        """An input: its storage's bytes are at `at`."""
        dtype = getattr(torch, body["dtype"])
        flat = self.bytes[body["at"] : body["at"] + body["bytes"]].view(dtype)
        return flat.as_strided(body["shape"], body["stride"], flat.storage_offset())

    def room(self, at: int, shape: Any, dtype: torch.dtype, count: int) -> torch.Tensor:
        """Where an output of `count` bytes goes."""
        return self.bytes[at : at + count].view(dtype).view(shape)
