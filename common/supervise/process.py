"""One supervised service: how to start it and how it ended."""
from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import launch


@dataclass(frozen=True)
class Service:
    """A process to keep running. `cores` pins it and everything it starts; None leaves it free."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cores: tuple[int, ...] | None = None


def python_service(module: str, *arguments: str, name: str | None = None, env: Mapping[str, str] | None = None,
                   cores: tuple[int, ...] | None = None) -> Service:
    """A service that is a Python module of this project."""
    return Service(name or module, (sys.executable, "-m", module, *arguments), env or {}, cores)


async def start(service: Service, log: Path) -> asyncio.subprocess.Process:
    """Start it in a process group of its own, output appended to `log`, ended with this process."""
    command = launch.command(service.cores, service.command)
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, **service.env}, start_new_session=True,
        )


def signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the whole group; one that is gone needs none."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
