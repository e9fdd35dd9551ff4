"""From a subject back to the class whose template it matches."""
from __future__ import annotations

import re

from common.messages import campaign, commands, engine, facts, kv, ops, placement, tokens, work
from common.messages.base import PREFIX, Message

_MODULES = (campaign, tokens, commands, facts, work, ops, kv, engine, placement)

ALL: tuple[type[Message], ...] = tuple(
    kind
    for module in _MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind.SUBJECT and kind.__module__ == module.__name__
)


def _matcher(kind: type[Message]) -> re.Pattern[str]:
    body = re.sub(r"\\\{\w+\\\}", "[^.]+", re.escape(f"{PREFIX}.{kind.SUBJECT}"))
    return re.compile(body + r"\Z")


_MATCHERS = tuple((_matcher(kind), kind) for kind in ALL)


def message_type(subject: str) -> type[Message] | None:
    """The class of the message on `subject`, or None where no class has such a subject."""
    return next((kind for matcher, kind in _MATCHERS if matcher.match(subject)), None)
