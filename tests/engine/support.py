"""A whole system with a real vLLM on the CPU, and what tests ask of it."""
from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from bench.engine.client import Client
from bench.engine.plugin import write_plugin
from common.commands.engine import Ready
from generator.engine.metrics import Load, fetch
from tests.pipeline.system import System, alive, descendants, system

ENVIRONMENT = Path(__file__).parents[2] / ".venv-engine"
TINY = ENVIRONMENT / "tiny"
BLOCK = 32
BLOCKS = 44
"""KV blocks of the engine under test: 1,408 tokens, so that a handful of requests fill them."""
CONTEXT = 1_344
READY_SECONDS = 280.0
IDLE_SECONDS = 30.0


def require_environment() -> None:
    """Skip where the engine's environment was not built; in CI its absence is a failure."""
    if (ENVIRONMENT / ".ready").exists():
        return
    if os.environ.get("CI"):
        pytest.fail("the engine's environment is missing: `make engine` builds it")
    pytest.skip("the engine's environment is missing: `make engine` builds it")


@asynccontextmanager
async def engine_system(folder: Path, **env: str) -> AsyncIterator[tuple[System, Ready]]:
    """`specgen up --engine vllm` with the tiny model, few KV blocks and teacher forcing; no process stays behind."""
    state = folder / "state"
    # In bfloat16, which it takes by itself, logits are often equal, and which of two is more depends on the processor.
    options = "--max-model-len", CONTEXT, "--num-gpu-blocks-override", BLOCKS, "--dtype", "float32"
    arguments = [f"--engine-arg={option}" for option in options]
    plugin = write_plugin(folder / "plugin")
    started: list[int] = []
    async with system(state, "--engine", "vllm", "--model", str(TINY), *arguments, env=plugin | env) as up:
        yield up, await ready(up, state / "logs")
        started += descendants(up.process.pid)
    for _ in range(int(IDLE_SECONDS / 0.1)):
        if not alive(started):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"processes {alive(started)} are still there")


async def ready(up: System, logs: Path) -> Ready:
    """Wait until the engine answers for the first time."""
    file = logs / "engine.json"
    async with asyncio.timeout(READY_SECONDS):
        while not file.exists():
            assert up.process.poll() is None, (logs / "vllm.log").read_text()[-3000:]
            await asyncio.sleep(0.2)
    return msgspec.json.decode(file.read_bytes(), type=Ready)


async def load_of(client: Client) -> Load:
    load = await fetch(client.session, client.url)
    assert load is not None
    return load


async def until_idle(client: Client) -> float:
    """Seconds until the engine has nothing to do."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    async with asyncio.timeout(IDLE_SECONDS):
        while True:
            load = await load_of(client)
            if load.running == load.waiting == 0:
                return loop.time() - since
            await asyncio.sleep(0.01)
