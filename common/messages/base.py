"""The envelope: a frozen struct, its subject template, and the wire (a plain MessagePack map)."""
from __future__ import annotations

import re
from typing import Any, ClassVar, TypeVar

import msgspec

PREFIX = "specgen.v1"
_FIELD = re.compile(r"\{(\w+)\}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\Z")
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}

M = TypeVar("M", bound="Message")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message on the bus. `SUBJECT` is a template over the message's own fields, without the prefix.

    Unknown fields are ignored when decoding, so that a newer writer does not break an older reader.
    """

    SUBJECT: ClassVar[str] = ""

    def subject(self) -> str:
        """The full subject this message goes to; ValueError where a field cannot stand in a subject."""

        def token(match: re.Match[str]) -> str:
            value = str(getattr(self, match[1]))
            if not _TOKEN.match(value):
                field = f"{type(self).__name__}.{match[1]}={value!r}"
                raise ValueError(f"{field} cannot stand in a subject: use A-Za-z0-9_-")
            return value

        return f"{PREFIX}.{_FIELD.sub(token, self.SUBJECT)}"


class Fact(Message, frozen=True, kw_only=True):
    """A fact of a run. Its generator is the only writer; `n` numbers the run's facts from 1 without a gap.

    A reader that folds facts in stream order and skips any `n` it has seen is safe against repeated publishing.
    """

    run: str
    n: int
    at: float
    """When it was recorded, Unix seconds."""


def pattern(kind: type[Message], **fields: object) -> str:
    """The subscription pattern for a class: given fields are filled in, the others become `*`."""
    return f"{PREFIX}.{_FIELD.sub(lambda m: str(fields.get(m[1], '*')), kind.SUBJECT)}"


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(kind: type[M], data: bytes) -> M:
    """Decode and validate; msgspec.ValidationError or msgspec.DecodeError where the bytes are not such a message."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    result: M = decoder.decode(data)
    return result
