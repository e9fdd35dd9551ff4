"""Packets over a stream: each with its length before it, for engines that a unix socket does not reach. Pure but for
`keep_alive`."""
from __future__ import annotations

import socket
import struct

from kvstore.wire import PACKET

_LENGTH = struct.Struct(">I")
_IDLE_SECONDS, _PROBES = 5, 3


def framed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


class Frames:
    """Mutable, with one owner: what has arrived of a stream."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def add(self, data: bytes) -> None:
        self._rest += data

    def take(self) -> bytes | None:
        """The next packet, if all of it is there. ValueError where it is longer than a packet can be."""
        if len(self._rest) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._rest)
        if not 0 < length <= PACKET:
            raise ValueError(f"a packet of {length} bytes: at most {PACKET} are possible")
        end = _LENGTH.size + length
        if len(self._rest) < end:
            return None
        packet = bytes(self._rest[_LENGTH.size : end])
        del self._rest[:end]
        return packet


def keep_alive(sock: socket.socket) -> None:
    """A host that is gone is noticed within half a minute, and small packets are not held back."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, _IDLE_SECONDS), (socket.TCP_KEEPINTVL, _IDLE_SECONDS), (socket.TCP_KEEPCNT, _PROBES),
        (socket.TCP_USER_TIMEOUT, 1_000 * _IDLE_SECONDS * (_PROBES + 1)),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
