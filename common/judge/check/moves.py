"""Move inputs and weights by a few units in their last place, and keep how far the results moved at most."""
from __future__ import annotations

import copy
from typing import Any

import torch

from common.judge.check.measure import cut
from common.judge.check.structure import map_tensors

MOVE = 16.0
"""By how many half units in the last place values are moved at most, to either side together."""


def move(value: Any, seed: int, *, back: bool = False) -> Any:
    """Floating tensors as fp64, each value moved relatively by up to half of MOVE half epsilons; the rest as it is.

    `back` moves each as far the other way: of such a pair one tips over what lies close beside a threshold, unless both
    moves are smaller than its distance.
    """
    return map_tensors([value], lambda tensor: _moved(tensor, seed, back) if tensor.is_floating_point() else tensor)[0]


def move_model(model: torch.nn.Module, seed: int, *, back: bool = False) -> torch.nn.Module:
    """A copy whose parameters and buffers moved as `move` moves inputs."""
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for i, tensor in enumerate((*moved.parameters(), *moved.buffers())):
            if tensor.is_floating_point() and tensor.dtype != torch.float64:
                tensor.data = move(tensor.data, seed - 1 - i, back=back)
    return moved


def _moved(tensor: torch.Tensor, seed: int, back: bool) -> torch.Tensor:
    generator = torch.Generator(tensor.device).manual_seed(seed % 2**63)
    far = MOVE * torch.finfo(tensor.dtype).eps * (-1 if back else 1)
    moves = torch.rand(tensor.shape, generator=generator, device=tensor.device, dtype=torch.float64)
    return moves.sub_(0.5).mul_(far).add_(1).mul_(tensor)  # in place: it is large


def still(exact: Any, *, inexact: bool) -> Any:
    """The spread of an output before any move: zeros, no results where it is exact, or None for a plain number."""
    if not inexact:
        return [] if isinstance(exact, torch.Tensor) else None
    parts = torch.view_as_real(exact) if exact.is_complex() else exact
    return torch.zeros_like(parts, memory_format=torch.contiguous_format)


def widen(spread: Any, moved: Any, exact: Any) -> None:
    """By one move, in place."""
    if isinstance(spread, list):
        spread.append(moved)
    elif spread is not None:
        for widest, *pair in cut(spread, moved, exact):
            change = (pair[0] - pair[1]).abs()
            torch.maximum(widest, torch.nan_to_num(change, nan=0.0, posinf=0.0), out=widest)
