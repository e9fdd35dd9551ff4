"""What goes over the socket between the service and an engine: one packet a message, on a unix socket with descriptors
beside it.

An engine opens one session for its scheduler (`manager`: asks and gets an answer) and one for each worker (`worker`:
is told which chunks there are, copies, and says what it did). The end of a session says that its process has unmapped
everything, so the service never closes one first.
"""
from __future__ import annotations

import socket
from typing import Any, Literal

import msgspec

from kvstore.geometry import Geometry, Space

VERSION = 2
KEYS = 2_048
"""Most keys in one message."""
PACKET = 256 * 1024
"""Largest message in bytes."""

Role = Literal["manager", "worker"]


class Packet(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Base of all messages; the tag is the class's name."""


class Hello(Packet, frozen=True, kw_only=True):
    """The first message of a session."""

    version: int = VERSION
    role: Role
    engine: str
    """Same for all sessions of one engine; its pins and half-written pages end when a worker's session does."""
    space: Space
    geometry: Geometry
    part: int = 0
    """Which part of each page a worker reads and writes."""
    shape: str = ""
    """A worker's: how the payload is put together. All workers of a space must say the same."""
    token: str = ""
    """For a service that is reached from other hosts."""
    writes: bool = True
    """A worker that only reads gets descriptors that cannot be mapped for writing, where the memory allows that."""


class Welcome(Packet, frozen=True, kw_only=True):
    device: str
    kind: str
    """Of memory: see `kvstore.memory`."""
    chunk_bytes: int
    epoch: int


class Refusal(Packet, frozen=True, kw_only=True):
    """The session is over; nothing sent after it is read."""

    reason: str


class Ask(Packet, frozen=True, kw_only=True):
    """How many of a prefix's blocks are there? Answer: State."""

    keys: list[bytes]


class Pin(Packet, frozen=True, kw_only=True):
    """Protect blocks for a read by every worker. Answer: Handles, none unless all workers have a session."""

    keys: list[bytes]


class Reserve(Packet, frozen=True, kw_only=True):
    """Pages for blocks to write. Answer: Handles, none for a block that is there already or finds no room, and none at
    all unless all workers have a session."""

    keys: list[bytes]


class Touch(Packet, frozen=True, kw_only=True):
    """These blocks of a prefix are in use. No answer."""

    keys: list[bytes]


class Abandon(Packet, frozen=True, kw_only=True):
    """The answer to a Reserve, or with `pinned` to a Pin, of these blocks was lost: what it promised is of no use, and
    nobody would ever give it back. No answer."""

    keys: list[bytes]
    pinned: bool = False


class Wrote(Packet, frozen=True, kw_only=True):
    """A worker wrote its part of these pages, or could not. No answer."""

    handles: bytes
    """Packed, see `kvstore.handles`; so are all that follow."""
    ok: bool = True


class Read(Packet, frozen=True, kw_only=True):
    """A worker is done reading its part of these pages. No answer."""

    handles: bytes
    wrong: bytes = b""
    """Those that held something else than was promised."""


class Unmapped(Packet, frozen=True, kw_only=True):
    """The acknowledgement of Revoke. No answer."""

    chunks: list[int]


class Quiet(Packet, frozen=True, kw_only=True):
    """The acknowledgement of Pause: no copy is under way and none will start. No answer."""


class State(Packet, frozen=True, kw_only=True):
    """How the pool is; part of every answer."""

    epoch: int
    """Changes when blocks may have been lost: whoever still has them may offer them again."""
    paused: bool = False
    room: int = 0
    """Blocks that can be stored without loss of others."""
    count: int = 0


class Handles(Packet, frozen=True, kw_only=True):
    handles: bytes
    """One for each key; zeros where there is none."""
    state: State
    short: bool = False
    """Reserve: there was no room for some."""


class Offer(Packet, frozen=True, kw_only=True):
    """Map this chunk. The descriptor comes with the packet where the kind of memory has one."""

    chunk: int
    token: bytes = b""


class Revoke(Packet, frozen=True, kw_only=True):
    """Unmap these chunks at once and say so."""

    chunks: list[int]


class Pause(Packet, frozen=True, kw_only=True):
    """Finish the copies under way, start none, and say so: the device is about to be timed."""


class Resume(Packet, frozen=True, kw_only=True):
    pass


FromEngine = Hello | Ask | Pin | Reserve | Touch | Abandon | Wrote | Read | Unmapped | Quiet
FromService = Welcome | Refusal | State | Handles | Offer | Revoke | Pause | Resume

_encoder = msgspec.msgpack.Encoder()
_from_engine: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(FromEngine)
_from_service: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(FromService)


def encode(packet: Packet) -> bytes:
    """ValueError where it does not fit a packet."""
    data = _encoder.encode(packet)
    if len(data) > PACKET:
        raise ValueError(f"a {type(packet).__name__} of {len(data)} bytes does not fit a packet of {PACKET}")
    return data


def from_engine(data: bytes) -> FromEngine:
    """msgspec.DecodeError where the bytes are no message of an engine."""
    packet: FromEngine = _from_engine.decode(data)
    return packet


def from_service(data: bytes) -> FromService:
    packet: FromService = _from_service.decode(data)
    return packet


def make_room(sock: socket.socket) -> None:
    """Socket buffers that hold at least one packet; the kernel may grant less than it is asked for."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 4 * PACKET)
