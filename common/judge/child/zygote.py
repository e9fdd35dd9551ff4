"""Imports torch once and forks a process for each spare that a judge asks for. Runs no foreign code, holds no secret.

Started inside bubblewrap with one socket, its door: each connection that comes through it belongs to one judge. A
request carries the spare's control socket, its data socket and its log pipe. Spares of a connection end with it.
"""
from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import warnings

import msgspec

from common.judge.child import ahead, facts, jail, warden
from common.judge.protocol import SpareSpec

_REQUEST = 65536


class Zygote:
    def __init__(self, door: socket.socket) -> None:
        self._door = door
        self._facts = msgspec.msgpack.encode(facts.collect())
        self._connections: dict[socket.socket, dict[int, bool]] = {}
        """Per judge its spares: process id, and whether it is isolated."""
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def serve(self) -> None:
        """Until the door closes."""
        while True:
            ready, _, _ = select.select([self._door, *self._connections], [], [], 1.0)
            self._reap()
            for sock in ready:
                if sock is not self._door:
                    self._request(sock)
                elif not self._admit():
                    return

    def _admit(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._door, 1, 1)
        if not message:
            return False
        connection = socket.socket(fileno=fds[0])
        connection.set_inheritable(False)
        self._connections[connection] = {}
        connection.send(self._facts)
        return True

    def _request(self, connection: socket.socket) -> None:
        try:
            message, fds, _, _ = socket.recv_fds(connection, _REQUEST, 3)
        except ConnectionResetError:
            message, fds = b"", []
        if not message:
            self._dismiss(connection)
            return
        spec = msgspec.msgpack.decode(message, type=SpareSpec)
        self._connections[connection][self._fork(spec, fds)] = spec.isolated
        for fd in fds:
            os.close(fd)

    def _fork(self, spec: SpareSpec, fds: list[int]) -> int:
        """A process that is the first of a PID namespace of its own; this one stays where it is."""
        if spec.isolated:
            jail.call("unshare", jail.NEW_PIDS)
        pid = os.fork()
        if pid == 0:
            control, inbox, log = fds
            warden.ends_with(
                lambda: warden.run(spec, socket.socket(fileno=control), socket.socket(fileno=inbox), log)
            )
        if spec.isolated:
            jail.call("setns", self._own_pids, jail.NEW_PIDS)
        return pid

    def _dismiss(self, connection: socket.socket) -> None:
        for pid, isolated in self._connections.pop(connection).items():
            os.kill(pid, signal.SIGKILL if isolated else signal.SIGTERM)
        connection.close()

    def _reap(self) -> None:
        while self._connections and any(self._connections.values()):
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            for spares in self._connections.values():
                spares.pop(pid, None)


def main() -> int:
    jail.die_with_parent(signal.SIGKILL)
    # NVML, by which torch looks for GPUs, has a thread of its own; no fork needs it.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    door = socket.socket(fileno=int(sys.argv[1]))
    facts.warm_up()
    ahead.prepare()
    gc.collect()
    gc.freeze()
    Zygote(door).serve()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
