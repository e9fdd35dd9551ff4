"""Messages and helpers the bus's tests share."""
from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

from common.bus import Server
from common.messages import Job, RunEnded, Stage, TaskSource, TokenDelta


def fact(run: str, n: int) -> RunEnded:
    return RunEnded(run=run, n=n, at=float(n), reason="iterations")


def job(run: str, candidate: str, priority: int = 0, stage: Stage = Stage.VALIDATE, source: str = "x") -> Job:
    return Job(
        stage=stage, priority=priority, run=run, iteration=1, candidate=candidate, attempt=1, issued_at=0.0,
        requested_at=0.0, deadline=0.0, device="cpu", task=TaskSource(name="t", source="s"), source=source,
    )  # fmt: skip


def token(run: str, seq: int, text: str = "t") -> TokenDelta:
    return TokenDelta(
        run=run, iteration=1, generation="main", seq=seq, at=time.time(), first_token=seq, token_ids=(seq,),
        first_char=seq, text=text, channel="reasoning",
    )  # fmt: skip


def queues(run: str, stage: Stage = Stage.VALIDATE) -> list[str]:
    """The patterns of one run's jobs by priority, so that tests on one server do not meet."""
    return [f"specgen.v1.job.{stage.value}.p{p}.{run}.>" for p in range(3)]


def kill(server: Server) -> int:
    """kill -9 of the server process; its pid."""
    pid = server.pid
    os.kill(pid, signal.SIGKILL)
    return pid


async def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition; AssertionError where it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        await asyncio.sleep(0.01)


async def restarted(server: Server, former: int, connected: Callable[[], bool]) -> None:
    """Wait until a killed server runs again and the client has found it."""
    await eventually(lambda: server.restarts > 0 and server.pid != former and connected())


async def gathered(awaitables: list[Awaitable[object]]) -> list[object]:
    return list(await asyncio.gather(*awaitables))
