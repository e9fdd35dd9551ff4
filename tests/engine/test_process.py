"""Starting, waiting for, and restarting an engine, with a small server in vLLM's place: what it does wrong is ours."""
from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.commands.endpoint import free_port
from common.errors import UsageError
from common.supervise import Service
from generator.engine import command
from generator.engine.process import Engine
from tests.pipeline.system import alive

SERVER = """\
import http.server, os, pathlib, subprocess, sys, time
port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
child = subprocess.Popen(["sleep", "600"])
with (folder / "pids").open("a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
started = len((folder / "pids").read_text().splitlines())
print(f"start {started}", flush=True)
if started in map(int, sys.argv[3].split(",")):
    sys.exit("ValueError: no room for the cache")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


class Started:
    def __init__(self, folder: Path, failing: str, *, start_seconds: float = 30.0, sleeps: bool = False) -> None:
        self.folder = folder
        self.ready = asyncio.Event()
        program = "import time; print('loading', flush=True); time.sleep(600)" if sleeps else SERVER
        port = free_port()
        line = (sys.executable, "-c", program, str(port), str(folder), failing)
        self.engine = Engine(
            Service("vllm", line), f"http://127.0.0.1:{port}", folder / "vllm.log", start_seconds=start_seconds
        )

    def pids(self) -> list[list[int]]:
        """(server, its child) of each start."""
        return [[int(pid) for pid in line.split()] for line in (self.folder / "pids").read_text().splitlines()]

    async def starts(self, count: int) -> None:
        await until(lambda: len(self.pids()) >= count)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_200):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to that")


@asynccontextmanager
async def running(started: Started) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(started.engine.run(started.ready.set))
    try:
        async with asyncio.timeout(30):
            await started.ready.wait()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_it_is_started_again_when_killed_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    started = Started(tmp_path, "0")
    async with running(started):
        first = started.pids()[0]
        os.kill(first[0], number)
        await started.starts(2)
        await until(lambda: alive(first) == [])
    await until(lambda: alive([pid for pids in started.pids() for pid in pids]) == [])


async def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    started = Started(tmp_path, "2,3")
    async with running(started) as task:
        os.kill(started.pids()[0][0], signal.SIGKILL)
        await started.starts(4)
        assert not task.done()


async def test_one_that_never_started_is_given_up_with_its_own_words(tmp_path: Path) -> None:
    started = Started(tmp_path, "1")
    with pytest.raises(UsageError, match="does not start: ValueError: no room for the cache; its log is"):
        await started.engine.run(started.ready.set)
    assert not started.ready.is_set()
    await until(lambda: alive(started.pids()[0]) == [])


async def test_one_that_never_answers_is_given_up(tmp_path: Path) -> None:
    started = Started(tmp_path, "0", start_seconds=1.0, sleeps=True)
    with pytest.raises(UsageError, match=r"not ready within 1 s \(start_seconds\); it last said: loading"):
        await started.engine.run(started.ready.set)


async def test_a_port_that_stays_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_PORT_TRIES", 2)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match="is taken by another program"):
            await command.free("127.0.0.1", other.getsockname()[1])
