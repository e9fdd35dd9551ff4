"""Warm processes from the zygote, each for one candidate: started ahead, taken, killed with all they started."""
from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import struct
import threading
import time

import msgspec

from common.judge.faults import JudgeFault, ProcessUnusable
from common.judge.protocol import EXIT, Facts, SpareSpec
from common.judge.sandbox.cgroup import GROUP, Group, bases
from common.judge.settings import JudgeSettings

_CREDENTIALS = struct.Struct("3i")
_UIDS = range(1_900_000_000, 2_000_000_000)
_LOG_KEPT = 16384
_SLACK_PROCESSES = 8


class Spare:
    """A candidate's process before and after it has one. `work` carries frames, `_control` talks to its warden."""

    def __init__(self, spec: SpareSpec, zygote: socket.socket, group: Group) -> None:
        self.spec = spec
        self.group = group
        self._log = b""
        self._log_open = True
        """Until every process that could write closed its end: from then on the pipe is always readable."""
        self._handle = -1
        self._closed = False
        self.warden = 0
        """Its warden's process id, once admitted."""
        self.exit: tuple[int, int] | None = None
        """Wait status and peak memory in KiB, once the candidate's process ended by itself."""
        self.lost = False
        """Whether the warden went without a word: somebody outside of the sandbox ended it."""
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.work, inbox = socket.socketpair()
        self._log_pipe, log = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._log_pipe, False)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        socket.send_fds(zygote, [msgspec.msgpack.encode(spec)], [control.fileno(), inbox.fileno(), log])
        os.close(log)
        control.close()
        inbox.close()

    def admit(self, deadline: float) -> None:
        """Wait for the warden, put it under the limits, let it fork the candidate's process."""
        self.warden = self._hear(deadline)
        self._handle = os.pidfd_open(self.warden)
        self.group.add(self.warden)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self._control.send(b"g")

    def _hear(self, deadline: float) -> int:
        """The warden's process id, as the kernel tells it."""
        if not select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise JudgeFault("the zygote forked no spare in time")
        word, ancillary, _, _ = self._control.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
        if word != b"h":
            raise ProcessUnusable("the zygote forked a spare that died at once: see its log")
        return int(_CREDENTIALS.unpack(ancillary[0][2][: _CREDENTIALS.size])[0])

    def freeze(self, deadline: float) -> None:
        """Stop every process and thread of the candidate; they stand when this returns."""
        self._ask(b"s", deadline)

    def thaw(self) -> None:
        """Continue them. Does not wait: what follows is on the candidate's time."""
        with contextlib.suppress(BrokenPipeError):
            self._control.send(b"c")

    def _ask(self, word: bytes, deadline: float) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._control.send(word)
        while self.exit is None and not self.lost:
            if not select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            if self._heed() == word:
                return

    def _heed(self) -> bytes:
        """Read one word of the warden."""
        word = self._control.recv(EXIT.size)
        if word[:1] == b"x":
            _, status, peak = EXIT.unpack(word)
            self.exit = (status, peak)
        elif not word:
            self.lost = self.exit is None
        return word

    def watch(self, seconds: float) -> None:
        """Until a frame can be read, or for so long, without sleep: to be woken takes as long as some kernels. Sleeps
        where the process has no core beside the one that this would take."""
        until = time.monotonic() + seconds
        while len(self.spec.cores) > 1 and time.monotonic() < until and not select.select([self.work], [], [], 0)[0]:
            continue

    def wait_readable(self, deadline: float) -> None:
        """Until a frame can be read. TimeoutError past the deadline, EOFError where the process has ended."""
        while True:
            work, control = self.work.fileno(), self._control.fileno()
            ended = self.exit is not None or self.lost
            sources = [work] + [self._log_pipe] * self._log_open + [control] * (not ended)
            ready, _, _ = select.select(sources, [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            if work in ready:
                return
            if self._log_pipe in ready:
                self.read_log()
            if control in ready:
                self._heed()
            elif ended:
                raise EOFError

    def read_log(self) -> str:
        """The end of what the candidate wrote to stdout and stderr so far."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._log_pipe, 65536):
                self._log = (self._log + data)[-_LOG_KEPT:]
            self._log_open = False
        return self._log.decode(errors="replace")

    def await_exit(self, seconds: float) -> None:
        """Give a process that hung up a moment to be reported dead."""
        deadline = time.monotonic() + seconds
        while self.exit is None and not self.lost:
            if not select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return
            self._heed()

    def kill(self) -> None:
        """SIGKILL to the namespace. Safe from another thread, and more than once."""
        if self._closed:
            return
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if self.spec.isolated:
            self._end_warden()

    def _end_warden(self) -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Kill, wait until it is gone, and give back what it held."""
        if self._closed:
            return
        self.kill()
        self._closed = True
        if self._handle >= 0:
            if not select.select([self._handle], [], [], 10.0)[0]:
                self._end_warden()
            os.close(self._handle)
            self._handle = -1
        self._control.close()
        self.work.close()
        os.close(self._log_pipe)
        self.group.remove()


class Spares:
    """Keeps spares ready for the next candidate on the same device."""

    def __init__(self, zygote: socket.socket, settings: JudgeSettings, *, isolated: bool) -> None:
        self._zygote = zygote
        self._settings = settings
        self._isolated = isolated
        self._ready: list[Spare] = []
        self._taken: set[Spare] = set()
        self._last: tuple[str, int, tuple[int, ...]] | None = None
        self._live: set[Spare] = set()
        self._ending: list[Spare] = []
        self._closed = False
        self._starting = threading.Lock()
        self._settling = threading.Lock()
        self._lock = threading.Lock()
        self.facts = self._hello()

    def _hello(self) -> Facts:
        data = self._zygote.recv(1 << 16)
        if not data:
            raise ProcessUnusable("the zygote closed its door: see its log")
        return msgspec.msgpack.decode(data, type=Facts)

    def take(self, role: str, index: int, cores: tuple[int, ...], *, fresh: bool = False) -> Spare:
        """A spare for this device: a warm one where there is one and no `fresh` one is wanted."""
        self.settle()
        self._last = (role, index, cores)
        spare = None if fresh else next((spare for spare in self._ready if self._fits(spare)), None)
        if spare is None:
            spare = self._start()
        else:
            self._ready.remove(spare)
        with self._lock:
            self._taken.add(spare)
        return spare

    def refill(self) -> None:
        """Start what is missing for the device used last and drop spares for other ones."""
        self.settle()
        for spare in [spare for spare in self._ready if not self._fits(spare)]:
            self._ready.remove(spare)
            self.give_back(spare)
        while self._last and len(self._ready) < self._settings.spares:
            self._ready.append(self._start())

    def _start(self) -> Spare:
        with self._starting:
            if self._closed:
                raise ProcessUnusable("the judge is closing")
            spare = self._admitted()
            self._live.add(spare)
            return spare

    def _admitted(self) -> Spare:
        settings = self._settings
        assert self._last
        role, index, cores = self._last
        processes = settings.processes + _SLACK_PROCESSES
        group = Group(f"{GROUP}{os.getppid()}-{os.getpid()}-{secrets.token_hex(4)}", settings.memory_mib, processes)
        spec = SpareSpec(
            role=role, index=index, cores=cores, memory_mib=settings.memory_mib, processes=processes,
            address_space=not group.holds_memory and role != "cuda", tmp_mib=settings.tmp_mib,
            uid=_UIDS.start + secrets.randbelow(len(_UIDS)), isolated=self._isolated,
        )
        try:
            spare = Spare(spec, self._zygote, group)
        except (BrokenPipeError, ConnectionError) as error:
            group.remove()
            raise ProcessUnusable("the zygote is gone") from error
        try:
            spare.admit(time.monotonic() + settings.spare_seconds)
        except JudgeFault:
            spare.close()
            raise
        return spare

    def _fits(self, spare: Spare) -> bool:
        return (spare.spec.role, spare.spec.index, spare.spec.cores) == self._last

    def give_back(self, spare: Spare) -> None:
        """A spare serves one candidate: end it. It is waited for before the next one is taken: a process takes a while
        to give a GPU back, and two do so at once."""
        spare.kill()
        with self._lock:
            self._taken.discard(spare)
            self._ending.append(spare)

    def settle(self) -> None:
        """Until those that were given back are gone."""
        with self._settling:
            while self._ending:
                spare = self._ending.pop()
                spare.close()
                with self._lock:
                    self._live.discard(spare)

    def kill_taken(self) -> None:
        """End every candidate under way; from another thread."""
        with self._lock:
            for spare in self._taken:
                spare.kill()

    def close(self) -> None:
        """End all there are, one that is being started included, and start no more; from whichever thread."""
        with self._starting, self._settling, self._lock:
            self._closed = True
            for spare in self._live:
                spare.close()


def limits_by() -> str:
    """What holds memory and processes here, in words."""
    memory, pids = bases()
    return f"memory by {'cgroup' if memory else 'address space limit'}, processes by {'cgroup' if pids else 'rlimit'}"
