"""An engine's end of a session: a blocking socket. Imports nothing of the bus, so that an engine needs only msgspec."""
from __future__ import annotations

import socket
from pathlib import Path

import msgspec

from common.errors import SpecgenError
from kvstore import wire
from kvstore.wire import FromEngine, FromService, Hello, Refusal, Welcome


class LineDown(SpecgenError):
    """The service is not there, is gone, or does not answer in time."""


class SessionRefused(SpecgenError):
    """The service will not serve this engine as it is."""


class Line:
    """One session. Not for two threads at once, except that one may send while another receives."""

    def __init__(self, path: Path, hello: Hello, timeout: float) -> None:
        """Connect and introduce oneself. LineDown, or SessionRefused with the service's reason."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(timeout)
        wire.make_room(self._socket)
        try:
            self._socket.connect(str(path))
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
        try:
            self._socket.send(wire.encode(packet), socket.MSG_NOSIGNAL)
        except OSError as error:
            raise LineDown(f"the KV pool is gone: {error.strerror or error}") from None

    def receive(self) -> tuple[FromService, int | None]:
        """The next packet and its descriptor, which becomes the caller's."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, wire.PACKET, 1)
        except OSError as error:
            raise LineDown(f"the KV pool does not answer: {error.strerror or error}") from None
        if not data:
            raise LineDown("the KV pool has ended the session")
        try:
            packet = wire.from_service(data)
        except msgspec.DecodeError as error:
            raise LineDown(f"the KV pool sends what nobody understands: {error}") from None
        if isinstance(packet, Refusal):
            raise SessionRefused(packet.reason)
        return packet, descriptors[0] if descriptors else None

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
