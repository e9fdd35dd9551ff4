"""Whether a candidate's weights are the task's own: for the words about a wrong result, never for the verdict.

Both models are built after one seed and nothing is copied, so that a kernel which draws a parameter otherwise than the
task does is wrong everywhere, however right its arithmetic. Told by moments: a transposed or flattened copy keeps them.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch

from common.judge.protocol import Weight

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MOST = 1024
"""Weights that are looked at."""
_CLOSE = 0.2
"""Of the error of a mean: two drawings of n values differ by about 1.4 of it, copies in another precision by 0.01."""
_NAMED, _NAME = 3, 80
"""Weights that are named, and characters of a name that the candidate gave."""


def weigh(model: Any) -> tuple[Weight, ...]:
    """At most 1,024 of them, in the model's order. Whatever else the model holds is left out."""
    floating = ((name, tensor) for name, tensor in _tensors(model) if tensor.dtype in _DTYPES and tensor.numel())
    return tuple(_weight(name, tensor) for name, tensor in islice(floating, _MOST))


def _tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Plain attributes that are tensors are weights to a candidate as well."""
    parts = model.named_modules() if isinstance(model, torch.nn.Module) else [("", model)]
    for prefix, part in parts:
        own = {**getattr(part, "_parameters", {}), **getattr(part, "_buffers", {}), **getattr(part, "__dict__", {})}
        for name, value in own.items():
            if isinstance(value, torch.Tensor):
                yield f"{prefix}.{name}".lstrip("."), value


def _weight(name: str, tensor: torch.Tensor) -> Weight:
    """Without a copy in fp64: weights may be large."""
    tensor, values, wide = tensor.detach(), tensor.numel(), torch.float64
    mean = float(tensor.mean(dtype=wide))
    square = float(torch.linalg.vector_norm(tensor, 2, dtype=wide)) ** 2 / values
    return Weight(
        name=name, shape=tuple(tensor.shape), values=values, mean=mean,
        size=float(torch.linalg.vector_norm(tensor, 1, dtype=wide)) / values,
        spread=math.sqrt(max(0.0, square - mean**2)),
    )


def drawn_otherwise(ours: Sequence[Weight], theirs: Sequence[Weight]) -> str:
    """A sentence on the task's weights of which the candidate has one of the same size with other values; empty where
    there are none. What the candidate has no weight of that size for, it may have combined with others."""
    pairs = [(own, _other(own, theirs)) for own in ours]
    named = [(own, other) for own, other in pairs if other is not None]
    if not named:
        return ""
    said = ", ".join(f"`{other.name[:_NAME]}` differs from Model's `{own.name}`" for own, other in named[:_NAMED])
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return (
        f"Its weights are not Model's: {said}{more}. Both are built under one seed and nothing is copied: create the "
        "same modules or draw with the same calls, in the same order (nn.Parameter(torch.randn(...)) draws other "
        "values than nn.Linear or nn.Conv2d)."
    )


def _other(own: Weight, theirs: Sequence[Weight]) -> Weight | None:
    """The candidate's weight of this size, where none has these values."""
    alike = [weight for weight in theirs if weight.values == own.values]
    return alike[0] if alike and not any(_same(own, weight) for weight in alike) else None


def _same(one: Weight, other: Weight) -> bool:
    close = _CLOSE * one.spread / math.sqrt(one.values) + 1e-6 * one.size
    return abs(one.mean - other.mean) <= close and abs(one.size - other.size) <= close
