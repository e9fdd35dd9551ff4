"""How every service process starts and ends: logs, settings, the bus, SIGTERM, and one line for a person on failure."""
from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

from common.bus import Bus, BusSettings
from common.errors import SpecgenError, UsageError
from common.logs import configure, get_logger
from common.settings import load

Serve = Callable[[Bus, asyncio.Event], Awaitable[None]]
"""A service's body: works until the event is set, then ends in order."""


def run_service(name: str, serve: Serve) -> int:
    """Run `serve` until SIGTERM or SIGINT. Exit code: 0 ended in order, 2 cannot start as configured, 1 gave up."""
    code = 0
    try:
        configure(name)
        asyncio.run(_serve(name, serve))
    except* UsageError as errors:  # what a task of `background()` raises comes in a group
        code = _say(name, errors, 2)
    except* SpecgenError as errors:
        code = _say(name, errors, 1)
    return code


def _say(name: str, error: BaseException, code: int) -> int:
    """One line: the first error is what ended the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(f"specgen {name}: {error}", file=sys.stderr)
    return code


def unique_name(service: str) -> str:
    """One name a process, on any host: it stands in subjects, leases and results."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())
    return f"{service}-{host}-{os.getpid()}"


async def _serve(name: str, serve: Serve) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with await Bus.connect(unique_name(name), load("bus", BusSettings)) as bus:
        log = get_logger()
        log.info("service.started")
        await serve(bus, stop)
        log.info("service.ended")
