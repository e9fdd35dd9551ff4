"""An engine's end of a session: a blocking socket, unix or TCP.

Imports nothing of the bus: an engine needs only msgspec.
"""
from __future__ import annotations

import socket
import threading
from pathlib import Path

import msgspec

from common.errors import SpecgenError
from kvstore import wire
from kvstore.address import read_address
from kvstore.frames import Frames, framed, keep_alive
from kvstore.wire import FromEngine, FromService, Hello, Refusal, Welcome


class LineDown(SpecgenError):
    """The service is not there, is gone, or does not answer in time."""


class SessionRefused(SpecgenError):
    """The service will not serve this engine as it is."""


class Line:
    """One session. Any thread may send; one receives."""

    def __init__(self, path: Path, hello: Hello, timeout: float) -> None:
        """Connect and introduce oneself. LineDown, SessionRefused with the service's reason, or BadAddress."""
        self._frames = Frames() if path.suffix == ".addr" else None
        self._sending = threading.Lock()
        where: str | tuple[str, int] = str(path)
        if self._frames is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        else:
            address = read_address(path)
            where = (address.host, address.port)
            hello = msgspec.structs.replace(hello, token=address.token)
            self._socket = socket.socket(address.family, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        wire.make_room(self._socket)
        try:
            self._socket.connect(where)
            if self._frames is not None:
                keep_alive(self._socket)
            self.send(hello)
            self.welcome = self._welcome()
        except OSError as error:
            self.close()
            raise LineDown(f"no KV pool at {path}: {error.strerror or error}") from None
        except SpecgenError:
            self.close()
            raise

    def _welcome(self) -> Welcome:
        answer, _ = self.receive()
        if not isinstance(answer, Welcome):
            raise LineDown(f"the service answered Hello with {type(answer).__name__}")
        return answer

    def send(self, packet: FromEngine) -> None:
        """LineDown where it does not go through in time."""
        data = wire.encode(packet)
        with self._sending:
            try:
                if self._frames is None:
                    self._socket.send(data, socket.MSG_NOSIGNAL)
                else:
                    self._socket.sendall(framed(data), socket.MSG_NOSIGNAL)
            except OSError as error:
                if self._frames is not None:
                    self.end()  # a part of it may have gone: nothing sent after it would be understood
                raise LineDown(f"the KV pool is gone: {error.strerror or error}") from None

    def receive(self) -> tuple[FromService, int | None]:
        """The next packet and its descriptor, which becomes the caller's."""
        try:
            data, descriptors = self._packet()
        except OSError as error:
            raise LineDown(f"the KV pool does not answer: {error.strerror or error}") from None
        except ValueError as error:
            raise LineDown(f"the KV pool sends {error}") from None
        if not data:
            raise LineDown("the KV pool has ended the session")
        try:
            packet = wire.from_service(data)
        except msgspec.DecodeError as error:
            raise LineDown(f"the KV pool sends what nobody understands: {error}") from None
        if isinstance(packet, Refusal):
            raise SessionRefused(packet.reason)
        return packet, descriptors[0] if descriptors else None

    def _packet(self) -> tuple[bytes, list[int]]:
        """Empty where the session has ended."""
        if self._frames is None:
            data, descriptors, _, _ = socket.recv_fds(self._socket, wire.PACKET, 1)
            return data, descriptors
        while (packet := self._frames.take()) is None:
            data = self._socket.recv(wire.PACKET)
            if not data:
                return b"", []
            self._frames.add(data)
        return packet, []

    def ask(self, packet: FromEngine) -> FromService:
        """Send and wait for the answer."""
        self.send(packet)
        return self.receive()[0]

    def wait_without_limit(self) -> None:
        """For a thread that only receives."""
        self._socket.settimeout(None)

    def end(self) -> None:
        """Wake the thread that receives; it closes the line when it has unmapped everything."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            self._socket.close()

    def close(self) -> None:
        self._socket.close()
