"""A whole system for tests: `specgen up` as a process, runs submitted over the bus, processes found and killed."""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.bus import Bus, BusSettings, Unreachable
from common.messages import (
    PREFIX,
    Budget,
    CandidateProposed,
    CandidateSettled,
    Fact,
    Llm,
    Message,
    RunEnded,
    RunSubmitted,
)
from common.report.events import collect
from common.task import read_task

START_SECONDS = 60.0
RUN_SECONDS = 280.0
DRAIN_SECONDS = 200.0
"""On a slow machine a verdict takes long: what is shown is that it comes."""


def descendants(pid: int) -> dict[int, str]:
    """Every process under `pid`, with its command line."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = {}, list(children.get(pid, []))
    while todo:
        child = todo.pop()
        todo += children.get(child, [])
        try:
            found[child] = (Path("/proc") / str(child) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def alive(pids: list[int]) -> list[int]:
    """Those that still run (a zombie does not)."""
    running = []
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                running.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return running


@dataclass
class System:
    process: subprocess.Popen[bytes]
    bus: Bus
    state: Path

    def pids(self, module: str) -> list[int]:
        """Processes of a service (`validator`), oldest first."""
        return sorted(p for p, line in descendants(self.process.pid).items() if f" -m {module} " in line + " ")

    def kill(self, module: str) -> int:
        """kill -9 one process of a service; its pid, or 0 where none runs at the moment."""
        for pid in self.pids(module):
            os.kill(pid, signal.SIGKILL)
            return pid
        return 0

    def kill_everything(self) -> None:
        """kill -9 `specgen up` and all it started, as a power cut would."""
        pids = [*descendants(self.process.pid), self.process.pid]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        end = time.monotonic() + 20
        while alive(pids) and time.monotonic() < end:
            time.sleep(0.05)

    async def submit(self, name: str, task: Path, url: str, **fields: Any) -> str:
        fields.setdefault("budget", Budget(iterations=fields.pop("iterations", 2)))
        fields.setdefault("drain_seconds", DRAIN_SECONDS)
        await self.bus.record(RunSubmitted(
            run=name, at=time.time(), task=read_task(task, allow_library=True), llm=Llm(url=url, model=""), **fields
        ), expect_new=True)
        return name

    async def until(self, run: str, condition: Callable[[Fact], bool], seconds: float = RUN_SECONDS) -> Fact:
        """The first fact of a run that meets a condition, past or future."""
        async with asyncio.timeout(seconds), self.bus.follow(f"{PREFIX}.evt.{run}.>") as feed:
            async for delivery in feed:
                if isinstance(delivery.message, Fact) and condition(delivery.message):
                    return delivery.message
        raise AssertionError("unreachable")

    async def ended(self, run: str, seconds: float = RUN_SECONDS) -> list[Message]:
        """Every event of a run, once it has ended."""
        await self.until(run, lambda fact: isinstance(fact, RunEnded), seconds)
        return await collect(self.bus, run)


@asynccontextmanager
async def system(
    state: Path, *arguments: str, env: dict[str, str] | None = None, orderly: bool = True
) -> AsyncIterator[System]:
    """`specgen up` on `state` until the block ends; if `orderly` it must then end in order and leave no process."""
    command = [sys.executable, "-m", "common.cli", "up", "--state", str(state), *arguments]
    log = state.parent / f"{state.name}.log"
    process = await asyncio.to_thread(start, command, log, {**os.environ, **(env or {})})
    try:
        bus = await connect(BusSettings(state_dir=str(state)), process, log)
        async with bus:
            yield System(process, bus, state)
        if not orderly:
            return
        started = list(descendants(process.pid))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0, log.read_text()[-2000:]
        await asyncio.sleep(0.2)
        assert alive(started) == []
    finally:
        process.kill()
        process.wait()


def start(command: list[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=env)


async def connect(settings: BusSettings, process: subprocess.Popen[bytes], log: Path) -> Bus:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            return await Bus.connect("test", settings)
        except Unreachable:
            await asyncio.sleep(0.1)
    raise AssertionError(f"the system did not start:\n{log.read_text()[-2000:]}")


def outcomes(events: list[Message]) -> set[tuple[str, str]]:
    """(digest of the candidate's source, final outcome): comparable between runs, names are not."""
    digests = {e.candidate: e.digest for e in events if isinstance(e, CandidateProposed)}
    settled = [e for e in events if isinstance(e, CandidateSettled)]
    assert sorted(e.candidate for e in settled) == sorted(digests), "each candidate has exactly one final outcome"
    return {(digests[e.candidate], str(e.outcome)) for e in settled}
