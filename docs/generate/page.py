"""docs/subjects.md: every subject with its message, and every part a message is made of."""
from __future__ import annotations

import re
from types import ModuleType

from common.messages import PREFIX, Message
from docs.generate.declared import Declared, declared, messages_of, modules, parts
from docs.generate.roots import kept, root_of, used_roots

_INTRO = f"""\
# Subjects and messages

Written from the message types by `python -m docs.generate`; a test fails when this page is stale. The same as an
AsyncAPI document: [asyncapi.yaml](asyncapi.yaml).

Every subject begins with `{PREFIX}.`; words in braces are fields of the message itself. A message is a plain
MessagePack map of its fields. Fields that have their default are left out, and a reader ignores fields it does not
know, so a newer writer does not break an older reader. `specgen tap '<subject>'` shows messages decoded.
"""
_WORD = re.compile(r"[A-Za-z_]\w*")


def page() -> str:
    names = {kind.__name__ for kind in parts()}
    sections = [_INTRO, _roots(), *(_module(module, names) for module in modules()), _parts(names)]
    return "\n".join(sections)


def _roots() -> str:
    rows = ["| subjects | what | writer | readers | kept |", "|---|---|---|---|---|"]
    rows += [
        f"| `{PREFIX}.{root.name}.>` | {root.what} | {root.writers} | {root.readers} | {kept(root)} |"
        for root in used_roots()
    ]
    return "\n".join([*rows, ""])


def _module(module: ModuleType, names: set[str]) -> str:
    title = module.__name__.rsplit(".", 1)[1].capitalize()
    entries = [_message(kind, names) for kind in messages_of(module)]
    return "\n".join([f"## {title}", "", " ".join((module.__doc__ or "").split()), "", *entries])


def _message(kind: type[Message], names: set[str]) -> str:
    root_of(kind.SUBJECT)
    return "\n".join([f"### {kind.__name__}", "", f"`{PREFIX}.{kind.SUBJECT}`", "", _body(declared(kind), names)])


def _parts(names: set[str]) -> str:
    entries = [f"### {kind.__name__}\n\n{_body(declared(kind), names)}" for kind in parts()]
    return "\n".join(["## Parts of messages", "", *entries])


def _body(found: Declared, names: set[str]) -> str:
    lines = [found.text, ""] if found.text else []
    if found.values:
        lines += [", ".join(f"`{value}`" for value in found.values), ""]
    if found.fields:
        lines += ["| field | type | default | |", "|---|---|---|---|"]
        lines += [
            f"| `{field.name}` | {_type(field.type, names)} | {_default(field.default)} | {_cell(field.text)} |"
            for field in found.fields
        ]
        lines.append("")
    return "\n".join(lines)


def _type(text: str, names: set[str]) -> str:
    """The annotation, with a link where it names a part."""
    if text in names:
        return f"[{text}](#{text.lower()})"
    linked = [word for word in _WORD.findall(text) if word in names]
    links = "".join(f" ([{word}](#{word.lower()}))" for word in dict.fromkeys(linked))
    return f"`{_cell(text)}`{links}"


def _default(text: str | None) -> str:
    return "" if text is None else f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
