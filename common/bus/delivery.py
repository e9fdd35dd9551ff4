"""What a reader gets: a message with where and when it was, decoded where its subject has a class."""
from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
from nats.aio.msg import Msg

from common.messages import Message, decode, message_type

_kind = lru_cache(maxsize=8192)(message_type)
"""One generation sends thousands of messages on one subject."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """`message` is None where the subject has no class: `data` is then all there is."""

    subject: str
    message: Message | None
    sequence: int
    """Position in its stream; 0 for a live message, which has none."""
    time: float
    """When the stream stored it (or it arrived here), Unix seconds."""
    caught_up: bool
    """True where nothing more was waiting behind it."""
    data: bytes = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Position:
    """What the reply subject of a stored message says.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<nanoseconds>.<left>`; newer servers put a
    domain and an account before the stream.
    """

    stream: str
    consumer: str
    delivered: int
    sequence: int
    consumer_sequence: int
    time: float
    left: int


def position(reply: str) -> Position:
    parts = reply.split(".")
    parts = parts[2:] if len(parts) == 9 else parts[4:]
    stream, consumer, delivered, sequence, consumer_sequence, nanoseconds, left = parts[:7]
    return Position(
        stream, consumer, int(delivered), int(sequence), int(consumer_sequence), int(nanoseconds) / 1e9, int(left)
    )


def decoded(subject: str, data: bytes) -> Message | None:
    """The message, or None without a class; ValueError (msgspec's) where the bytes are not what the class wants."""
    kind = _kind(subject)
    return decode(kind, data) if kind else None


def stored(message: Msg, where: Position, raw: bool = False) -> Delivery:
    return Delivery(
        subject=message.subject,
        message=None if raw else decoded(message.subject, message.data),
        sequence=where.sequence,
        time=where.time,
        caught_up=where.left == 0,
        data=message.data,
        headers=message.headers or {},
    )


def live(message: Msg, raw: bool = False) -> Delivery:
    return Delivery(
        subject=message.subject,
        message=None if raw else decoded(message.subject, message.data),
        sequence=0,
        time=time.time(),
        caught_up=True,
        data=message.data,
        headers=message.headers or {},
    )


UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError)
