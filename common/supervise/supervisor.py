"""Keeps services running: a service that ends is started again, sooner the longer it had run."""
from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from types import TracebackType

from common.background import end_all
from common.errors import SpecgenError, UsageError
from common.logs import get_logger
from common.supervise.process import Service, signal_group, start

log = get_logger()
STEADY_SECONDS = 5.0
"""A service that ran for so long is restarted at once."""
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
CANNOT_START = 2
"""Exit code of a service that cannot run as configured: restarting it would not help."""


class ServiceFailed(SpecgenError):
    """A service that cannot start as configured, with its own last line."""


class Supervisor:
    """An async context manager; leaving it ends every service, SIGKILL after `grace` seconds."""

    def __init__(self, logs: Path, *, grace: float = 10.0) -> None:
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.failure: asyncio.Future[None] | None = None
        self._logs = logs
        self._grace = grace
        self._keepers: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Supervisor:
        self._logs.mkdir(parents=True, exist_ok=True)
        self.failure = asyncio.get_running_loop().create_future()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def add(self, service: Service) -> None:
        """Start a service and keep it running. UsageError where the name is taken."""
        if service.name in self._keepers:
            raise UsageError(f"a service named {service.name} runs already")
        self._keepers[service.name] = asyncio.create_task(self._keep(service))

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def stop(self) -> None:
        """End every service: SIGTERM to all, SIGKILL to the groups of those that stay."""
        await end_all(self._keepers.values())
        self._keepers.clear()
        running = [p for p in self.processes.values() if p.returncode is None]
        for process in running:
            signal_group(process, signal.SIGTERM)
        if running:
            await asyncio.wait([asyncio.create_task(p.wait()) for p in running], timeout=self._grace)
        for process in self.processes.values():
            signal_group(process, signal.SIGKILL)
        await asyncio.gather(*(p.wait() for p in running))
        if self.failure and not self.failure.done():
            self.failure.cancel()

    async def _keep(self, service: Service) -> None:
        failures = 0
        while True:
            since = time.monotonic()
            process = self.processes[service.name] = await start(service, self.log_of(service.name))
            code = await process.wait()
            signal_group(process, signal.SIGKILL)
            log.warning("service.died", service=service.name, code=code)
            if code == CANNOT_START:
                self._fail(service)
                return
            failures = 0 if time.monotonic() - since > STEADY_SECONDS else failures + 1
            await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])

    def _fail(self, service: Service) -> None:
        lines = self.log_of(service.name).read_text(errors="replace").strip().splitlines()
        if self.failure and not self.failure.done():
            self.failure.set_exception(ServiceFailed(lines[-1] if lines else f"{service.name} cannot start"))
