"""The judge as a service sees it: asyncio, no torch. Owns the judge's processes and starts again what dies."""
from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from types import TracebackType
from typing import Any

import msgspec

from common.devices import Device, cuda_environment
from common.errors import UsageError
from common.judge import requests
from common.judge.artefact import Artefact
from common.judge.faults import JudgeFault
from common.judge.requests import Compile, Profile, Reply, Setup, Validate
from common.judge.sandbox import bwrap
from common.judge.sandbox.probe import sandbox_problem
from common.judge.settings import JudgeSettings, sandbox_off
from common.judge.wire import HEADER
from common.logs import get_logger
from common.messages.campaign import TaskSource
from common.messages.judgement import Judgement

log = get_logger()
_PATIENT = {"OMP_WAIT_POLICY": "passive"}
"""The judge's own torch shares cores with services and compilers: threads that spin there take four times as long."""
_SPARING = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
"""And its device's memory with candidates and whoever borrows it: a reference that is kept must not hold on to the
large block that it was cut from."""
_STOP_SECONDS = 10.0
"""How long a process may take to give up a request before it is killed."""


class Judge:
    """An asynchronous context manager. Calls of one kind (compiling, device work) are served one after the other.

    Cancelling the task of a call kills the candidate's process; the judge stays usable. JudgeFault: infrastructure.
    """

    def __init__(self, settings: JudgeSettings, kind: str) -> None:
        self._settings = settings
        self._kind = kind
        self._zygote: Zygote | None = None
        self._starting = asyncio.Lock()
        self._lanes = {name: Lane(name, self) for name in ("compile", "device")}

    async def __aenter__(self) -> Judge:
        """UsageError where no sandbox works and it is not switched off by name, or the cache cannot be written."""
        self._settings.make_cache()
        if not sandbox_off() and (problem := await asyncio.to_thread(sandbox_problem)):
            raise UsageError(f"no sandbox: {problem} (SPECGEN_SANDBOX=off judges without one and labels every result)")
        try:
            await asyncio.gather(*(lane.start() for lane in self._lanes.values()))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def compile(self, task: TaskSource, source: str) -> Artefact | Judgement:
        """Import the candidate without a device and build what it asks for."""
        reply = await self._lanes["compile"].ask(Compile(task=task, source=source))
        return reply.artefact or _judgement(reply)

    async def validate(self, task: TaskSource, artefact: Artefact, device: Device) -> Judgement:
        """Right or wrong, on the device."""
        return _judgement(await self._lanes["device"].ask(Validate(task=task, artefact=artefact, device=device)))

    async def profile(self, task: TaskSource, artefact: Artefact, device: Device, *, bar: float = 0.0) -> Judgement:
        """How much faster than eager, on the device; timed outputs are checked too. Where the whole interval lies below
        `bar` it is not made narrower."""
        request = Profile(task=task, artefact=artefact, device=device, bar=bar)
        return _judgement(await self._lanes["device"].ask(request))

    async def connect(self) -> socket.socket:
        """A connection to the zygote, which is started where there is none."""
        async with self._starting:
            if self._zygote is None or not self._zygote.alive:
                self._zygote = await Zygote.start(self._kind)
            return self._zygote.connect()

    def setup(self) -> Setup:
        off = sandbox_off()
        return Setup(settings=self._settings, kind=self._kind, isolated=not off, bwrap=None if off else bwrap.find())

    async def _close(self) -> None:
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        if self._zygote:
            await self._zygote.close()


class Zygote:
    """The process that all candidates are forked from, in the sandbox."""

    def __init__(self, process: asyncio.subprocess.Process, door: socket.socket) -> None:
        self._process = process
        self._door = door

    @classmethod
    async def start(cls, kind: str) -> Zygote:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command, environment = _zygote_command(kind, theirs.fileno())
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=environment,
            )
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    def connect(self) -> socket.socket:
        """A socket of its own; what is forked through it ends with it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(self._door, [b"c"], [theirs.fileno()])
            except (BrokenPipeError, ConnectionResetError):
                raise JudgeFault("the zygote died: see its log") from None
        return ours

    async def close(self) -> None:
        self._door.close()
        await _end(self._process)


class Lane:
    """One judge process and its socket. It is started when needed, and again after it died."""

    def __init__(self, name: str, judge: Judge) -> None:
        self._name = name
        self._judge = judge
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        zygote = await self._judge.connect()
        ours, theirs = socket.socketpair()
        with theirs, zygote:
            fds = theirs.fileno(), zygote.fileno()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"common.judge.lane.{self._name}", *map(str, fds),
                stdin=asyncio.subprocess.DEVNULL, pass_fds=fds,
                env=os.environ | cuda_environment() | bwrap.ALLOCATOR | _PATIENT | _SPARING,
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._send(self._judge.setup())
        log.info("judge.started", lane=self._name, pid=self._process.pid)

    async def ask(self, request: Any) -> Reply:
        """The reply; JudgeFault where the process died or reports one."""
        async with self._turn:
            if self._process is None or self._process.returncode is not None:
                await self.start()
            self._send(request)
            reading = asyncio.ensure_future(self._read())
            try:
                reply = await asyncio.shield(reading)
            except asyncio.CancelledError:
                await self._give_up(reading)
                raise
            if reply.unusable:
                await self.close()
        if reply.fault is not None:
            raise JudgeFault(reply.fault, quarantine=reply.quarantine, short_of_memory=reply.short_of_memory)
        return reply

    async def _give_up(self, reading: asyncio.Future[Reply]) -> None:
        """Let the process end what it does, so that the next request finds it idle; kill it where it does not."""
        self._send(requests.Stop())
        done, _ = await asyncio.wait({reading}, timeout=_STOP_SECONDS)
        if not done or reading.exception():
            reading.cancel()
            await self.close()

    async def _read(self) -> Reply:
        try:
            (size,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            return requests.reply_decoder.decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.close()
            raise JudgeFault(f"the judge's {self._name} process died: see its log") from None

    def _send(self, message: Any) -> None:
        payload = requests.encode(message)
        self._writer.write(HEADER.pack(len(payload)) + payload)

    async def close(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        self._writer.close()
        await _end(process)


def _zygote_command(kind: str, door: int) -> tuple[list[str], dict[str, str]]:
    if sandbox_off():
        return bwrap.zygote(door), bwrap.zygote_environment()
    program = bwrap.find()
    assert program
    return bwrap.inside(program, kind, bwrap.zygote(door)), {}


async def _end(process: asyncio.subprocess.Process) -> None:
    """It ends when its sockets close; after a few seconds it is made to."""
    try:
        await asyncio.wait_for(process.wait(), 5.0)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _judgement(reply: Reply) -> Judgement:
    if reply.judgement is None:
        raise JudgeFault("the judge gave the request up by itself")
    return msgspec.structs.replace(reply.judgement, short_of_memory=reply.short_of_memory)
