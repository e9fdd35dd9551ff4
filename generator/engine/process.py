"""Keeps one vLLM server running: started, waited for, started again when it dies."""
from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp

from common.errors import UsageError
from common.logs import get_logger
from common.supervise import Service
from common.supervise.process import signal_group, start
from generator.engine.complaint import complaint

log = get_logger()
_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 5.0
_BACKOFF_SECONDS = (0.0, 1.0, 5.0, 15.0, 30.0)
"""Before each attempt to start it again, the last for all further ones."""
_TAIL = 1 << 20
"""Bytes of the log that are searched for the reason of a failure."""


class Engine:
    """`run` works until it is cancelled, and ends the server then."""

    def __init__(self, service: Service, url: str, log_file: Path, *, start_seconds: float) -> None:
        self._service = service
        self._url = url
        self._log_file = log_file
        self._start_seconds = start_seconds
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, on_ready: Callable[[], None]) -> None:
        """`on_ready` is called once. UsageError, with the engine's own words, where it does not start at all; one that
        has been ready is started again for as long as it takes."""
        failures, announced = 0, False
        try:
            while True:
                since = time.monotonic()
                reason = await self._start()
                if reason is None:
                    log.info("engine.ready", url=self._url, seconds=round(time.monotonic() - since, 1))
                    failures = 0
                    if not announced:
                        on_ready()
                    announced = True
                    reason = await self._until_dead()
                elif not announced:
                    raise UsageError(f"the engine does not start: {reason}; its log is {self._log_file}")
                log.error("engine.died", reason=reason, failures=failures)
                await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
        finally:
            await self._end()

    async def _start(self) -> str | None:
        """Start it and wait until it answers; the reason where it does not."""
        size = self._log_file.stat().st_size if self._log_file.exists() else 0
        process = self._process = await start(self._service, self._log_file)
        try:
            async with asyncio.timeout(self._start_seconds), aiohttp.ClientSession() as session:
                while process.returncode is None:
                    if await _answers(session, self._url):
                        return None
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            said = complaint(self._said(size), None)
            await self._end()
            return f"it was not ready within {self._start_seconds:g} s (start_seconds); it last said: {said}"
        return complaint(self._said(size), self._gone())

    async def _until_dead(self) -> str:
        """Its workers end with it, however it died: a second server would find neither port nor memory."""
        assert self._process is not None
        await self._process.wait()
        code = self._gone()
        return f"signal {-code}" if code < 0 else f"code {code}"

    def _gone(self) -> int:
        """End what is left of its group, at once: later its number may be another program's. Its exit code."""
        process, self._process = self._process, None
        assert process is not None and process.returncode is not None
        signal_group(process, signal.SIGKILL)
        return process.returncode

    def _said(self, since: int) -> str:
        with self._log_file.open("rb") as file:
            file.seek(max(since, self._log_file.stat().st_size - _TAIL))
            return file.read().decode(errors="replace")

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        signal_group(process, signal.SIGTERM)
        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=_GRACE_SECONDS)
        signal_group(process, signal.SIGKILL)
        await process.wait()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health", timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
