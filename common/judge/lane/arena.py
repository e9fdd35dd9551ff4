"""Memory shared with a candidate's process: inputs go in, outputs come out and are copied before they are believed."""
from __future__ import annotations

import fcntl
import math
import mmap
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from common.judge.lane.parcel import ALIGNMENT, Parcel, aligned, parcel
from common.judge.protocol import Gate, Output
from common.judge.tree import Tree

SHIFTS = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Arena(ABC):
    """One memory for inputs and outputs. `fd` is its descriptor, to be sent to the candidate's process."""

    size: int
    fd: int
    apart: bool
    """Whether the judge's own copies are timed apart from a window (`around.py`). Not on a host: there the candidate
    has cores of its own to go on with beside them."""
    _bytes: torch.Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        """Room for inputs and outputs of so many bytes."""
        self.outputs_at = aligned(inputs) + SHIFTS * ALIGNMENT
        self.outputs_room = aligned(outputs) + ALIGNMENT
        self._allocate(self.outputs_at + self.outputs_room)
        try:
            self._taken = torch.zeros(self.outputs_room, dtype=torch.uint8, device=self._bytes.device)
        except BaseException:
            self.close()
            raise
        self.forget()
        self.inputs_at = 0
        """Where the inputs begin: what is given says where each is from there on."""

    @abstractmethod
    def _allocate(self, size: int) -> None:
        """Set `size`, `fd` and `_bytes`."""

    def holds(self, inputs: int, outputs: int) -> bool:
        return aligned(inputs) + SHIFTS * ALIGNMENT <= self.outputs_at and aligned(outputs) <= self.outputs_room

    def give(self, inputs: Sequence[Any], *, again: bool = False) -> Tree:
        """Find the inputs a place, somewhere else each time, or with `again` where the former ones are."""
        return self.give_all(parcel([inputs], self._bytes.device), again=again)[0]

    def give_all(self, given: Parcel, *, again: bool = False) -> list[Tree]:
        """The inputs of several calls, side by side."""
        if not again:
            self.inputs_at = ALIGNMENT * secrets.randbelow(SHIFTS)
        self._given = given
        self._place()
        return given.trees

    def forget(self) -> None:
        """The judge's own copy of the inputs: whether they are untouched cannot be asked after this."""
        self._given = parcel([], self._bytes.device)

    @abstractmethod
    def _place(self) -> None:
        """Write them or not, before the clock runs."""

    @abstractmethod
    def deliver(self) -> None:
        """Before the candidate's process is told that there are inputs; with the clock running, unless `apart`."""

    def gate(self) -> Gate | None:
        """A new one, closed, for what is to be launched ahead of the inputs; None where there is nothing to launch."""
        return None

    def open(self) -> None:
        """The last gate."""
        return

    def _write(self) -> None:
        self._inputs().copy_(self._given.bytes)

    def untouched(self) -> bool:
        """Whether the inputs, and the gaps between them, still hold what was written."""
        return torch.equal(_words(self._inputs()), _words(self._given.bytes))

    def _inputs(self) -> torch.Tensor:
        return self._bytes[self.inputs_at : self.inputs_at + self._given.bytes.numel()]

    def places(self, count: int) -> tuple[int, list[int]]:
        """Bytes for the outputs of each of so many calls, and where each begins."""
        room = self.outputs_room // count // ALIGNMENT * ALIGNMENT
        return room, [self.outputs_at + index * room for index in range(count)]

    def poison(self, byte: int) -> None:
        self._outputs().fill_(byte)

    def take(self) -> None:
        """Copy all outputs to where the candidate cannot change them. Its end is the end of a timed window, unless
        `apart`."""
        self._taken.copy_(self._outputs())

    def _outputs(self) -> torch.Tensor:
        return self._bytes[self.outputs_at : self.outputs_at + self.outputs_room]

    def keep(self) -> Kept:
        """What was taken, for as long as it is wanted: the next call's outputs are taken to the same place."""
        return Kept(self._taken.clone(), self.outputs_at)

    def close(self) -> None:
        os.close(self.fd)


class HostArena(Arena):
    """Shared host memory. Its size is sealed: a candidate that shrank it would end the judge by SIGBUS.

    Inputs are written before the clock runs: the candidate is frozen then, and nothing else of it can run.
    """

    apart = False

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


class Kept:
    """A copy of the outputs' part of an arena; outputs are views on it."""

    def __init__(self, held: torch.Tensor, begins: int) -> None:
        self._bytes = held
        self._begins = begins

    def output(self, output: Output) -> torch.Tensor:
        """Its value; on the meta device (shape and dtype alone) where it did not fit. ValueError for what cannot be."""
        dtype = getattr(torch, output.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"no such dtype: {output.dtype}")
        if any(size < 0 for size in output.shape):
            raise ValueError(f"no such shape: {output.shape}")
        count = math.prod(output.shape) * dtype.itemsize
        if count == 0 or output.at < 0:
            return torch.empty(output.shape, dtype=dtype, device="meta" if count else self._bytes.device)
        start = output.at - self._begins
        if start < 0 or start % ALIGNMENT or start + count > self._bytes.numel():
            raise ValueError("an output lies outside of the room for outputs")
        return self._bytes[start : start + count].view(dtype).view(output.shape)


def _words(flat: torch.Tensor) -> torch.Tensor:
    """Bytes by eight where they are so many and lie so: fewer numbers to compare."""
    return flat if flat.numel() % 8 or flat.data_ptr() % 8 else flat.view(torch.int64)
