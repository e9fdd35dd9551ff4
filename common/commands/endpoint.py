"""The endpoint a command line names: does anything answer there, or start the replay of a recording."""
from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from common.errors import UsageError
from common.supervise import Supervisor, python_service

CONNECT_SECONDS = 5.0
READY_SECONDS = 30.0


class Ready(msgspec.Struct):
    """What the replay endpoint writes once it listens."""

    url: str


def require_answer(url: str) -> None:
    """UsageError where nothing accepts connections at `url`, so that nothing is started in vain."""
    try:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("this is no address: write http://HOST:PORT")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"no endpoint answers at {url} ({error}): start it, or correct --llm") from None


def require_answers(urls: Sequence[str]) -> None:
    """The same of every replica: one that is away now was more likely misspelt than it is to come."""
    for url in urls:
        require_answer(url)


def require_recording(recording: str, rate: float | None) -> None:
    """UsageError, in the replay endpoint's own words, where it cannot play the recording."""
    command = [sys.executable, "-m", "generator.replay", *_arguments(recording, rate), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(done.stderr.strip().splitlines()[-1].removeprefix("replay: "))


async def start_replay(supervisor: Supervisor, recording: str, rate: float | None, ready_file: Path) -> str:
    """Start the replay endpoint and return its address once it listens. It keeps its port when it is restarted."""
    arguments = [*_arguments(recording, rate), "--port", str(free_port()), "--ready-file", str(ready_file)]
    supervisor.add(python_service("generator.replay", *arguments, name="replay"))
    assert supervisor.failure is not None
    async with asyncio.timeout(READY_SECONDS):
        while not ready_file.exists():
            if supervisor.failure.done():
                supervisor.failure.result()
            await asyncio.sleep(0.05)
    return msgspec.json.decode(ready_file.read_bytes(), type=Ready).url


def _arguments(recording: str, rate: float | None) -> list[str]:
    return ["--recording", recording, *(["--rate", str(rate)] if rate is not None else [])]


def free_port() -> int:
    """A port of the loopback that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
