"""Nested values as plain data: what is not a container or a plain value is turned into a leaf by the caller.

A list is {"l": [...]}, a tuple {"u": [...]}, a dict {"d": [[key, value], ...]}, a plain value {"v": value}, a leaf
whatever the caller's function returned, under {"x": ...}.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

Tree = dict[str, Any]


def pack(value: Any, leaf: Callable[[Any], Any]) -> Tree:
    if isinstance(value, dict):
        return {"d": [[key, pack(item, leaf)] for key, item in value.items()]}
    if isinstance(value, list):
        return {"l": [pack(item, leaf) for item in value]}
    if isinstance(value, tuple):
        return {"u": [pack(item, leaf) for item in value]}
    if value is None or type(value) in (bool, int, float, str):
        return {"v": value}
    return {"x": leaf(value)}


def unpack(tree: Tree, leaf: Callable[[Any], Any]) -> Any:
    ((kind, body),) = tree.items()
    match kind:
        case "d":
            return {key: unpack(item, leaf) for key, item in body}
        case "l":
            return [unpack(item, leaf) for item in body]
        case "u":
            return tuple(unpack(item, leaf) for item in body)
        case "v":
            return body
        case _:
            return leaf(body)
