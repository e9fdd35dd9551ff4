"""What calls returned, at its place in the arena.

Inside of a timed series only the copies are launched and a few facts noted: to put them in words takes longer than many
kernels, and is done afterwards.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import torch

from common.judge.check.structure import flatten
from common.judge.child.arena import Arena
from common.judge.protocol import Output, Result

ALIGNMENT = 512


class ReturnedOddly(Exception):
    """Forward returned something that is neither tensors nor plain values."""


class Leaf(NamedTuple):
    """A tensor that was copied to `at`, or to nowhere (-1) where there was no room; or a plain value."""

    kind: type
    value: Any = None
    at: int = -1
    dtype: torch.dtype | None = None
    shape: tuple[int, ...] = ()
    device: str = ""

    def output(self) -> Output:
        name = self.kind.__name__
        if self.dtype is None:
            return Output(value=self.value, type_name=name)
        dtype = str(self.dtype).removeprefix("torch.")
        return Output(type_name=name, dtype=dtype, shape=tuple(self.shape), device=self.device, at=self.at)


class Placed(NamedTuple):
    """All that one call returned. It keeps no tensor of the candidate's alive."""

    spec: str
    leaves: list[Leaf]

    def result(self) -> Result:
        return Result(spec=self.spec, outputs=tuple(leaf.output() for leaf in self.leaves))


def place(returned: Any, at: int, room: int, arena: Arena) -> Placed:
    """Copy it to its place, on the current stream. ReturnedOddly where it cannot be described."""
    try:
        spec, values = flatten(returned)
    except ValueError as error:
        raise ReturnedOddly(str(error)) from None
    end, leaves = at + room, []
    for value in values:
        leaf, at = _leaf(value, at, end, arena)
        leaves.append(leaf)
    return Placed(spec, leaves)


def _leaf(value: Any, at: int, end: int, arena: Arena) -> tuple[Leaf, int]:
    if not isinstance(value, torch.Tensor):
        return Leaf(type(value), value), at
    count = value.numel() * value.element_size()
    fits = 0 < count <= end - at
    if fits:
        arena.room(at, value.shape, value.dtype, count).copy_(value.detach())
    leaf = Leaf(type(value), None, at if fits else -1, value.dtype, value.shape, value.device.type)
    return leaf, at + -(-count // ALIGNMENT) * ALIGNMENT if fits else at
