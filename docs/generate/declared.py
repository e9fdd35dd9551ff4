"""What the message modules say in their own text: classes, fields, defaults and the docstrings under them."""
from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from types import ModuleType

import msgspec

from common.messages import ALL, Message
from common.messages import judgement as judgement_module


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    default: str | None
    """As written; None where the field must be given."""
    text: str


@dataclass(frozen=True)
class Declared:
    """A class as its module's text has it. `fields` starts with the inherited ones."""

    name: str
    text: str
    fields: tuple[Field, ...]
    values: tuple[str, ...] = ()
    """Of an enumeration."""


def modules() -> list[ModuleType]:
    """Modules with messages, in the registry's order, each once."""
    return [import_module(name) for name in dict.fromkeys(kind.__module__ for kind in ALL)]


def messages_of(module: ModuleType) -> list[type[Message]]:
    return [kind for kind in ALL if kind.__module__ == module.__name__]


def parts() -> list[type]:
    """Structs and enumerations that messages are made of, in the order of their modules."""
    found = [
        kind for module in [*modules(), judgement_module] for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and kind not in ALL and _documented(kind)
    ]
    return list(dict.fromkeys(found))


def _documented(kind: type) -> bool:
    return issubclass(kind, Enum) or (issubclass(kind, msgspec.Struct) and not issubclass(kind, Message))


def declared(kind: type) -> Declared:
    """The class with the fields of its bases first, as they are on the wire."""
    if issubclass(kind, Enum):
        return Declared(kind.__name__, _own_doc(kind), (), tuple(str(member.value) for member in kind))
    fields = [field for base in reversed(kind.__mro__) if base.__module__.startswith("common.") for field in _own(base)]
    return Declared(kind.__name__, _own_doc(kind), tuple(fields))


def _own_doc(kind: type) -> str:
    return " ".join((vars(kind).get("__doc__") or "").split())


def _own(kind: type) -> list[Field]:
    body = _class_node(kind).body
    following: list[ast.stmt | None] = [*body[1:], None]
    return [
        Field(node.target.id, ast.unparse(node.annotation), _default(node.value), _text(after))
        for node, after in zip(body, following, strict=True)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not _is_class_variable(node)
    ]


def _class_node(kind: type) -> ast.ClassDef:
    module = inspect.getmodule(kind)
    assert module is not None
    tree = ast.parse(inspect.getsource(module))
    [node] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
    return node


def _is_class_variable(node: ast.AnnAssign) -> bool:
    return ast.unparse(node.annotation).startswith("ClassVar")


def _default(value: ast.expr | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, ast.Call):
        [factory] = [keyword.value for keyword in value.keywords if keyword.arg == "default_factory"]
        return {"dict": "{}", "list": "[]"}[ast.unparse(factory)]
    return ast.unparse(value)


def _text(node: ast.stmt | None) -> str:
    """The docstring of the field above it."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""
