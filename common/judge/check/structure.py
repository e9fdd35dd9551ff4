"""Nested inputs and outputs as a flat list of leaves and a text that says how they were nested.

Both sides use it: the candidate's process to send what it returned, the judge to know what was expected.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

_MAX_DEPTH = 16
_MAX_LEAVES = 4096


def flatten(value: Any) -> tuple[str, list[Any]]:
    """Spec and leaves: tensors and Python scalars are leaves, tuples, lists and dicts are structure.

    Spec of a tensor `T`, of a scalar its type's name, of a pair `(T,T)`, of a dict `{'a':T}`. ValueError where the
    nesting is deeper than 16, has more than 4,096 leaves or holds anything else.
    """
    leaves: list[Any] = []
    return _flatten(value, leaves, 0), leaves


def _flatten(value: Any, leaves: list[Any], depth: int) -> str:
    if depth > _MAX_DEPTH or len(leaves) > _MAX_LEAVES:
        raise ValueError("the value is nested too deeply or has too many parts")
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{_flatten(item, leaves, depth + 1)}" for key, item in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        inner = ",".join(_flatten(item, leaves, depth + 1) for item in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if not isinstance(value, torch.Tensor) and not (value is None or type(value) in (bool, int, float, str)):
        raise ValueError(f"a value of type {type(value).__name__} is neither a tensor nor a plain number")
    leaves.append(value)
    return "T" if isinstance(value, torch.Tensor) else type(value).__name__


def rebuild(value: Any, leaves: Sequence[Any]) -> Any:
    """`value` with its leaves replaced in order; TypeError where the counts differ."""
    rest = iter(leaves)
    result = _rebuild(value, rest)
    if next(rest, rest) is not rest:
        raise TypeError("more leaves than the structure has places")
    return result


def _rebuild(value: Any, rest: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rebuild(item, rest) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [_rebuild(item, rest) for item in value]
        if isinstance(value, list):
            return items
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    try:
        return next(rest)
    except StopIteration:
        raise TypeError("fewer leaves than the structure has places") from None


def same_structure(ours: str, theirs: str) -> bool:
    """A list where the task returns a tuple is no difference a caller would see."""
    return ours.translate(_BRACKETS) == theirs.translate(_BRACKETS)


_BRACKETS = str.maketrans("[]", "()")


def map_tensors(values: Sequence[Any], change: Callable[[torch.Tensor], torch.Tensor]) -> list[Any]:
    """The same structure with each tensor changed."""
    leaves = flatten(list(values))[1]
    return list(rebuild(list(values), [change(leaf) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]))
