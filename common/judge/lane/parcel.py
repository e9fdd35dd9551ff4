"""Inputs of several calls side by side in one piece of the judge's own memory, so that to copy them in and to look at
them afterwards is one operation each, however many they are. Both sides of a pair are given the same parcel.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from common.judge.check import flatten
from common.judge.tree import Tree, pack

ALIGNMENT = 512


class Parcel(NamedTuple):
    """`trees` say of each call's inputs where they are in `bytes`, from its beginning."""

    bytes: torch.Tensor
    trees: list[Tree]


def parcel(series: Sequence[Sequence[Any]], device: torch.device) -> Parcel:
    """Of the inputs of each call. A copy, but of a single tensor, which nobody may change before the parcel is used."""
    pieces: list[torch.Tensor] = []
    gap, end = torch.zeros(ALIGNMENT, dtype=torch.uint8, device=device), 0

    def put(tensor: torch.Tensor) -> dict[str, Any]:
        nonlocal end
        flat, at = extent_bytes(tensor), aligned(end)
        pieces.extend(piece for piece in (gap[: at - end], flat) if piece.numel())
        end = at + flat.numel()
        return {"at": at, "bytes": flat.numel(), "dtype": dtype_name(tensor), "shape": list(tensor.shape),
                "stride": list(tensor.stride())}

    trees = [pack(list(inputs), put) for inputs in series]
    return Parcel(_joined(pieces, gap[:0]), trees)


def _joined(pieces: list[torch.Tensor], nothing: torch.Tensor) -> torch.Tensor:
    """In one operation; a large single input is not copied."""
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0] if pieces else nothing


def extent_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """All bytes from a tensor's first to its last element, gaps included, flat."""
    tensor = tensor.detach()
    if tensor.numel() == 0:
        return torch.empty(0, dtype=torch.uint8, device=tensor.device)
    if tensor.is_contiguous():
        return tensor.view(-1).view(torch.uint8)
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
