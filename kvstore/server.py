"""The sockets: accept engines, pass their packets to the desk, send without blocking.

The unix socket takes those of the same user; the TCP socket, where there is one, those that bring the token.
"""
from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path

from common.errors import UsageError
from common.logs import get_logger
from kvstore import wire
from kvstore.address import Address
from kvstore.desk import Desk, Session
from kvstore.frames import Frames, framed, keep_alive
from kvstore.wire import FromService

log = get_logger()
_BACKLOG = 4_096
"""Packets kept for a peer that does not read; with more its session is refused."""


class Connection:
    """One socket. What does not fit its buffer waits here. With a token it is a stream, else it keeps packets apart."""

    def __init__(
        self, sock: socket.socket, desk: Desk, number: int, on_close: Callable[[Connection], None], token: str = ""
    ) -> None:
        self._socket = sock
        self._frames = Frames() if token else None
        self._desk = desk
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, int | None]] = deque()
        self._session = Session(number, self.send, token=token)
        sock.setblocking(False)
        wire.make_room(sock)
        desk.opened(self._session)
        self._loop.add_reader(sock, self._readable)

    def send(self, packet: FromService, descriptor: int | None) -> None:
        data = wire.encode(packet)
        self._waiting.append((data if self._frames is None else framed(data), descriptor))
        if len(self._waiting) == 1:
            self._flush()
        elif len(self._waiting) == _BACKLOG:
            self._desk.refuse(self._session, f"{_BACKLOG} packets wait to be read")

    def _flush(self) -> None:
        while self._waiting:
            data, descriptor = self._waiting[0]
            try:
                if descriptor is None:
                    sent = self._socket.send(data, socket.MSG_NOSIGNAL)
                    if self._frames is not None and sent < len(data):
                        self._waiting[0] = data[sent:], None
                        continue
                else:
                    socket.send_fds(self._socket, [data], [descriptor], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._flush)
                return
            except OSError as error:
                log.debug("session.broken", session=self._session.name, error=str(error))
            self._drop_first()
        self._loop.remove_writer(self._socket)

    def _drop_first(self) -> None:
        _, descriptor = self._waiting.popleft()
        if descriptor is not None:
            os.close(descriptor)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(wire.PACKET)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif self._frames is None:
            self._desk.received(self._session, data)
        else:
            self._take(self._frames, data)

    def _take(self, frames: Frames, data: bytes) -> None:
        frames.add(data)
        try:
            while (packet := frames.take()) is not None:
                self._desk.received(self._session, packet)
        except ValueError as error:
            log.warning("session.unreadable", session=self._session.name, reason=str(error))
            self.close()

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        while self._waiting:
            self._drop_first()
        self._socket.close()
        log.info("session.closed", session=self._session.name)
        self._on_close(self)
        self._desk.closed(self._session)


class Server:
    """`async with Server(path, desk)`. The path is replaced where a dead service left it.

    `listen` and `token`: where engines of other hosts come in, and what they have to bring.
    """

    def __init__(self, path: Path, desk: Desk, listen: Address | None = None, token: str = "") -> None:
        self._path = path
        self._listen = listen
        self._token = token
        self._tcp: socket.socket | None = None
        self._desk = desk
        self._connections: set[Connection] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._number = 0

    async def __aenter__(self) -> Server:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            self._socket.bind(str(self._path))
        except OSError as error:
            raise UsageError(
                f"cannot make the socket {self._path}: {error.strerror or error}; name another folder with "
                "SPECGEN_KVSTORE_SOCKETS"
            ) from None
        self._path.chmod(0o600)
        self._socket.listen(64)
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._accept)
        if self._listen is not None:
            self._tcp = self._open(self._listen)
            asyncio.get_running_loop().add_reader(self._tcp, self._accept_far, self._tcp)
        return self

    async def __aexit__(self, *_: object) -> None:
        for sock in filter(None, (self._socket, self._tcp)):
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.close()

    @property
    def port(self) -> int:
        """Of the TCP socket."""
        assert self._tcp is not None
        return int(self._tcp.getsockname()[1])

    def _open(self, listen: Address) -> socket.socket:
        if not self._token:
            raise UsageError("a KV pool that listens for other hosts needs a token: SPECGEN_KVSTORE_TOKEN_FILE")
        try:
            sock = socket.create_server((listen.host, listen.port), family=listen.family, backlog=64)
        except OSError as error:
            raise UsageError(f"cannot listen on {listen!r} ({error.strerror}): see SPECGEN_KVSTORE_LISTEN") from None
        sock.setblocking(False)
        return sock

    def _accept_far(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        keep_alive(sock)
        self._add(sock, self._token)

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if not _same_user(sock):
            log.warning("session.foreign_user")
            sock.close()
            return
        self._add(sock)

    def _add(self, sock: socket.socket, token: str = "") -> None:
        self._number += 1
        self._connections.add(Connection(sock, self._desk, self._number, self._connections.discard, token))


def _same_user(sock: socket.socket) -> bool:
    _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in (os.getuid(), 0)
