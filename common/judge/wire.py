"""Frames over a socket: four bytes of length, then the payload, with descriptors beside it where wanted.

Used on both sides of every judge socket. What a candidate's process sends is read with a limit and a deadline.
"""
from __future__ import annotations

import array
import os
import select
import socket
import struct
import time
from typing import NoReturn

HEADER = struct.Struct("<I")
MAX_FDS = 4
_LEAST_SECONDS = 1e-3
"""With none a socket does not wait at all, and says so otherwise."""


class FrameTooLarge(Exception):
    """The other side announced more bytes than it may send."""


def send_frame(
    sock: socket.socket, payload: bytes, fds: tuple[int, ...] = (), *, deadline: float | None = None
) -> None:
    """Blocks until all is written. BrokenPipeError where the other side is gone, TimeoutError where it has not read
    enough by `deadline` (monotonic)."""
    data = memoryview(HEADER.pack(len(payload)) + payload)
    if deadline is not None:
        sock.settimeout(max(_LEAST_SECONDS, deadline - time.monotonic()))
    try:
        if fds:
            sent = socket.send_fds(sock, [data], list(fds))
            data = data[sent:]
        sock.sendall(data)
    finally:
        if deadline is not None:
            sock.settimeout(None)


def recv_frame(sock: socket.socket, limit: int, deadline: float | None = None) -> bytes:
    """The next frame; descriptors sent with it are dropped by the kernel.

    EOFError where the other side closed, FrameTooLarge over `limit` bytes, TimeoutError past `deadline` (monotonic).
    """
    (size,) = HEADER.unpack(_exactly(sock, HEADER.size, deadline))
    if size > limit:
        raise FrameTooLarge(f"a frame of {size} bytes, at most {limit} are allowed")
    return _exactly(sock, size, deadline)


def recv_frame_fds(sock: socket.socket) -> tuple[bytes, list[int]]:
    """The next frame with its descriptors, without limit: for messages of the trusted side."""
    head, fds = _first(sock)
    (size,) = HEADER.unpack(head + _exactly(sock, HEADER.size - len(head), None))
    return _exactly(sock, size, None), fds


def _first(sock: socket.socket) -> tuple[bytes, list[int]]:
    numbers = array.array("i")
    head, ancillary, _, _ = sock.recvmsg(HEADER.size, socket.CMSG_SPACE(MAX_FDS * numbers.itemsize))
    if not head:
        _closed()
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    for fd in numbers:
        os.set_inheritable(fd, False)
    return head, list(numbers)


def _exactly(sock: socket.socket, size: int, deadline: float | None) -> bytes:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        if deadline is not None:
            wait_readable(sock, deadline)
        count = sock.recv_into(view[done:])
        if count == 0:
            _closed()
        done += count
    return bytes(data)


def wait_readable(sock: socket.socket, deadline: float) -> None:
    """TimeoutError where nothing came by `deadline` (monotonic seconds)."""
    ready, _, _ = select.select([sock], [], [], max(0.0, deadline - time.monotonic()))
    if not ready:
        raise TimeoutError


def _closed() -> NoReturn:
    raise EOFError("the other side closed its socket")
