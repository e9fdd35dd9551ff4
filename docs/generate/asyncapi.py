"""docs/asyncapi.yaml: the subjects as an AsyncAPI 3.0 document, its schemas by msgspec."""
from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]

from common.messages import ALL, PREFIX, Message
from docs.generate.declared import declared
from docs.generate.roots import kept, root_of

_PARAMETER = re.compile(r"\{(\w+)\}")
_NOTE = "# Written from the message types by `python -m docs.generate`.\n"


def asyncapi() -> str:
    text: str = yaml.safe_dump(document(), sort_keys=False, width=120, allow_unicode=True)
    return _NOTE + text


def document() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(ALL, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "SpecGen",
            "version": version("specgen"),
            "description": "The messages between the services. Payloads are MessagePack maps; the schemas describe "
            "them as JSON would have them, bytes as base64. Fields with their default are left out. The server asks "
            "for a token.",
        },
        "defaultContentType": "application/msgpack",
        "servers": {"bus": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": {kind.__name__: _channel(kind) for kind in ALL},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in ALL},
            "schemas": {name: _tidy(schema) for name, schema in sorted(schemas.items())},
        },
    }


def _channel(kind: type[Message]) -> dict[str, Any]:
    root = root_of(kind.SUBJECT)
    channel: dict[str, Any] = {
        "address": f"{PREFIX}.{kind.SUBJECT}",
        "description": f"Written by {root.writers}; read by {root.readers}. Kept: {kept(root)}.",
        "messages": {kind.__name__: _ref("messages", kind.__name__)},
    }
    if names := _PARAMETER.findall(kind.SUBJECT):
        channel["parameters"] = {name: {"description": f"The message's own field `{name}`."} for name in names}
    return channel


def _message(kind: type[Message]) -> dict[str, Any]:
    message: dict[str, Any] = {"name": kind.__name__}
    if text := declared(kind).text:
        message["summary"] = text
    return message | {"payload": _ref("schemas", kind.__name__)}


def _ref(section: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{section}/{name}"}


def _tidy(node: Any) -> Any:
    """Descriptions in one line; inherited class docstrings left out."""
    if isinstance(node, dict):
        return {key: _one_line(value) if key == "description" else _tidy(value) for key, value in node.items()}
    return [_tidy(item) for item in node] if isinstance(node, list) else node


def _one_line(text: Any) -> Any:
    return " ".join(text.split()) if isinstance(text, str) else text
