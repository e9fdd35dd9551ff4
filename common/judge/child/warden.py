"""The first process of a candidate's PID namespace: it forks the candidate's process, stops and continues all that
runs in the namespace on the judge's word, tells how the candidate's process ended, and takes everything with it.

One byte each way: the judge sends `g` (go: fork), `s` (stop), `c` (continue); the warden answers `h` (here), `s`
(stopped), `c` (continued), or `x` with wait status and peak memory in KiB.
"""
from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import tempfile
import traceback
from collections.abc import Callable
from typing import NoReturn

from common.judge.child import jail
from common.judge.child.worker import work
from common.judge.protocol import EXIT, SpareSpec


class Warden:
    def __init__(self, spec: SpareSpec, control: socket.socket, folder: str) -> None:
        self._spec = spec
        self._control = control
        self._folder = folder
        self._child = 0

    def watch(self, child: int) -> NoReturn:
        """Serve until the judge hangs up or the candidate's process ends; then everything here ends."""
        self._child = child
        wake, signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        while True:
            self._reap()
            ready, _, _ = select.select([self._control.fileno(), wake], [], [])
            if wake in ready:
                os.read(wake, 4096)
            if self._control.fileno() in ready:
                self._obey(self._control.recv(1))

    def _obey(self, word: bytes) -> None:
        match word:
            case b"s":
                self._signal(signal.SIGSTOP)
                self._await_stop()
                self._control.send(b"s")
            case b"c":
                self._signal(signal.SIGCONT)
                self._control.send(b"c")
            case _:
                self._end()

    def _await_stop(self) -> None:
        """All threads of the candidate's process stand when wait reports it stopped; it may also have ended."""
        info = os.waitid(os.P_PID, self._child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if info is not None and info.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
            self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._control.send(EXIT.pack(b"x", status, usage.ru_maxrss))
                self._end()

    def _signal(self, number: int) -> None:
        """To all but the warden itself, which as first process of its namespace is left out."""
        try:
            if self._spec.isolated:
                os.kill(-1, number)
            else:
                os.killpg(self._child, number)
        except ProcessLookupError:
            return

    def _end(self) -> NoReturn:
        if not self._spec.isolated:
            self._signal(signal.SIGKILL)
            shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(0)


def ends_with(act: Callable[[], None]) -> NoReturn:
    """Do it and end this process, whatever happens: below on the stack is the process it was forked from."""
    code = 1
    try:
        act()
        code = 0
    except BaseException:  # noqa: BLE001 - the edge of a forked process
        traceback.print_exc()
    finally:
        os._exit(code)


def run(spec: SpareSpec, control: socket.socket, inbox: socket.socket, log: int) -> NoReturn:
    """In the freshly forked process: close the sandbox, wait for the word, fork the candidate's process."""
    jail.close_other_fds((control.fileno(), inbox.fileno(), log))
    if spec.isolated:
        jail.enter_mounts(spec)
    os.sched_setaffinity(0, spec.cores)
    control.send(b"h")
    if control.recv(1) != b"g":
        os._exit(0)
    folder = "/tmp" if spec.isolated else tempfile.mkdtemp(prefix="specgen-candidate-")
    child = os.fork()
    if child == 0:
        control.close()
        _become(spec, inbox, log, folder)
    inbox.close()
    os.close(log)
    jail.hide_memory()
    Warden(spec, control, folder).watch(child)


def _become(spec: SpareSpec, inbox: socket.socket, log: int, folder: str) -> NoReturn:
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nowhere), (1, log), (2, log)):
        os.dup2(source, target)
    jail.close_other_fds((inbox.fileno(),))
    os.chdir(folder)
    jail.limit(spec)
    if spec.isolated:
        jail.drop_privileges(spec)
    else:
        jail.die_with_parent(signal.SIGKILL)
    ends_with(lambda: work(spec, inbox))
