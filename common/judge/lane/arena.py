"""Memory shared with a candidate's process: inputs go in, outputs come out and are copied before they are believed."""
from __future__ import annotations

import fcntl
import mmap
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from common.judge.check import flatten
from common.judge.protocol import Output
from common.judge.tree import Tree, pack

ALIGNMENT = 512
SHIFTS = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Arena(ABC):
    """One memory for inputs and outputs. `fd` is its descriptor, to be sent to the candidate's process."""

    size: int
    fd: int
    _bytes: torch.Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        """Room for inputs and outputs of so many bytes."""
        self.outputs_at = aligned(inputs) + SHIFTS * ALIGNMENT
        self.outputs_room = aligned(outputs) + ALIGNMENT
        self._allocate(self.outputs_at + self.outputs_room)
        self._taken = torch.zeros(self.outputs_room, dtype=torch.uint8, device=self._bytes.device)
        self._given: list[tuple[int, torch.Tensor]] = []

    @abstractmethod
    def _allocate(self, size: int) -> None:
        """Set `size`, `fd` and `_bytes`."""

    def holds(self, inputs: int, outputs: int) -> bool:
        return aligned(inputs) + SHIFTS * ALIGNMENT <= self.outputs_at and aligned(outputs) <= self.outputs_room

    def give(self, inputs: Sequence[Any], *, again: bool = False) -> Tree:
        """Find the inputs a place, somewhere else each time, or with `again` where the former ones are."""
        return self.give_all([inputs], again=again)[0]

    def give_all(self, series: Sequence[Sequence[Any]], *, again: bool = False) -> list[Tree]:
        """The inputs of several calls, side by side."""
        places = iter([at for at, _ in self._given]) if again else None
        next_at = ALIGNMENT * secrets.randbelow(SHIFTS)
        given: list[tuple[int, torch.Tensor]] = []

        def put(tensor: torch.Tensor) -> dict[str, Any]:
            nonlocal next_at
            flat = extent_bytes(tensor)
            at = next(places) if places else next_at
            next_at = at + aligned(flat.numel())
            given.append((at, flat))
            return {"at": at, "bytes": flat.numel(), "dtype": dtype_name(tensor), "shape": list(tensor.shape),
                    "stride": list(tensor.stride())}

        trees = [pack(list(inputs), put) for inputs in series]
        self._given = given
        self._place()
        return trees

    @abstractmethod
    def _place(self) -> None:
        """Write them or not, before the clock runs."""

    @abstractmethod
    def deliver(self) -> None:
        """With the clock running, before the candidate's process is told that there are inputs."""

    def _write(self) -> None:
        for at, flat in self._given:
            self._bytes[at : at + flat.numel()].copy_(flat)

    def untouched(self) -> bool:
        """Whether the inputs still hold what was written."""
        return all(torch.equal(self._bytes[at : at + flat.numel()], flat) for at, flat in self._given)

    def places(self, count: int) -> tuple[int, list[int]]:
        """Bytes for the outputs of each of so many calls, and where each begins."""
        room = self.outputs_room // count // ALIGNMENT * ALIGNMENT
        return room, [self.outputs_at + index * room for index in range(count)]

    def poison(self, byte: int) -> None:
        self._outputs().fill_(byte)

    def take(self) -> None:
        """Copy all outputs to where the candidate cannot change them. Its end is the end of a timed window."""
        self._taken.copy_(self._outputs())

    def _outputs(self) -> torch.Tensor:
        return self._bytes[self.outputs_at : self.outputs_at + self.outputs_room]

    def taken(self, output: Output) -> torch.Tensor:
        """An output's value from the copy; on the meta device (shape and dtype alone) where it did not fit."""
        dtype = getattr(torch, output.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"no such dtype: {output.dtype}")
        value = torch.empty(output.shape, dtype=dtype, device="meta")
        count = value.numel() * value.element_size()
        start = output.at - self.outputs_at
        if count == 0 or output.at < 0:
            return value if count else torch.empty(output.shape, dtype=dtype, device=self._taken.device)
        if start < 0 or start % ALIGNMENT or start + count > self.outputs_room:
            raise ValueError("an output lies outside of the room for outputs")
        return self._taken[start : start + count].view(dtype).view(output.shape).clone()

    def close(self) -> None:
        os.close(self.fd)


class HostArena(Arena):
    """Shared host memory. Its size is sealed: a candidate that shrank it would end the judge by SIGBUS.

    Inputs are written before the clock runs: the candidate is frozen then, and nothing else of it can run.
    """

    def _allocate(self, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create("arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
        self._bytes = torch.frombuffer(mmap.mmap(self.fd, size), dtype=torch.uint8)

    def _place(self) -> None:
        self._write()

    def deliver(self) -> None:
        return


def extent_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """All bytes from a tensor's first to its last element, gaps included, flat."""
    tensor = tensor.detach()
    if tensor.numel() == 0:
        return torch.empty(0, dtype=torch.uint8, device=tensor.device)
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((reach + 1,), (1,)).view(torch.uint8)


def input_bytes(inputs: Sequence[Any]) -> int:
    tensors = [leaf for leaf in flatten(list(inputs))[1] if isinstance(leaf, torch.Tensor)]
    return sum(aligned(extent_bytes(tensor).numel()) for tensor in tensors)


def output_bytes(leaves: Sequence[Any]) -> int:
    return sum(aligned(leaf.numel() * leaf.element_size()) for leaf in leaves if isinstance(leaf, torch.Tensor))


def inline(tensor: torch.Tensor) -> dict[str, Any]:
    """A small tensor as part of a message."""
    flat = tensor.detach().cpu().contiguous()
    content = flat.view(-1).view(torch.uint8).numpy().tobytes()
    return {"dtype": dtype_name(flat), "shape": list(flat.shape), "bytes": content}


def dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT
