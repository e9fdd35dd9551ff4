"""A vLLM server for a benchmark, started with the arguments the project itself starts one with."""
from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bench.engine.client import Client
from bench.engine.plugin import write_plugin
from common.commands.endpoint import free_port
from common.errors import SpecgenError
from common.supervise import Service
from common.supervise.process import signal_group, start
from generator.engine.arguments import command, environment, served_name
from generator.engine.complaint import complaint
from generator.engine.metrics import Load, fetch
from generator.engine.settings import EngineSettings


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what model a benchmark runs."""

    model: Path
    python: str = sys.executable
    cpu: bool = False
    args: tuple[str, ...] = ()
    start_seconds: float = 240.0


class NotStarted(SpecgenError):
    """With the engine's own words."""


@asynccontextmanager
async def server(host: Host, log: Path, env: Mapping[str, str] | None = None) -> AsyncIterator[Client]:
    """A client of a server with teacher forcing, ended with the block. NotStarted where it does not start."""
    settings = EngineSettings(model=str(host.model), args=host.args, kv_gib=1)
    port = free_port()
    line = command(settings, host.python, cpu=host.cpu, model=str(host.model.resolve()), port=port)
    with tempfile.TemporaryDirectory() as folder:
        plugin = write_plugin(Path(folder))
        variables = {**environment(settings, cpu=host.cpu, local=True), **plugin, **(env or {})}
        process = await start(Service("vllm", line, variables), log)
        try:
            async with Client(f"http://127.0.0.1:{port}", served_name(settings.model)) as client:
                await _ready(process, client, log, host.start_seconds)
                yield client
        finally:
            await _end(process)


async def _ready(process: asyncio.subprocess.Process, client: Client, log: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while process.returncode is None and time.monotonic() < end:
        if await fetch(client.session, client.url) is not None:
            return
        await asyncio.sleep(0.5)
    raise NotStarted(complaint(log.read_text(errors="replace"), process.returncode))


async def _end(process: asyncio.subprocess.Process) -> None:
    """The whole group: a GPU's memory is free again when its last process is gone."""
    if process.returncode is None:
        signal_group(process, signal.SIGTERM)
        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=10)
    signal_group(process, signal.SIGKILL)
    await process.wait()


async def load_of(client: Client) -> Load:
    load = await fetch(client.session, client.url)
    if load is None:
        raise NotStarted("the engine does not answer any more")
    return load


async def until_idle(client: Client, seconds: float = 30.0) -> float:
    """Seconds until nothing runs or waits; TimeoutError after `seconds`."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            load = await load_of(client)
            if load.running == load.waiting == 0:
                return time.monotonic() - began
            await asyncio.sleep(0.005)


