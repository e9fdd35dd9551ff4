"""Commands that talk to a system which is up."""
from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable

from common.bus import Bus, BusSettings
from common.logs import configure
from common.messages import PREFIX, Fact, RunEnded, RunStarted, RunSubmitted
from common.report.events import once
from common.service import unique_name
from common.settings import load, refuse_unknown


def with_bus(name: str, body: Callable[[Bus], Awaitable[int]]) -> int:
    """Run `body` on a connection to the system; its errors are one line each."""
    refuse_unknown()
    configure(name)
    return asyncio.run(_with_bus(body))


async def _with_bus(body: Callable[[Bus], Awaitable[int]]) -> int:
    async with await Bus.connect(unique_name("cli"), load("bus", BusSettings)) as bus:
        return await body(bus)


def run_name(text: str) -> str:
    """For an argument that names one run: a pattern would take in the facts of several."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a run; `specgen status` lists runs")
    return text


async def facts_of(bus: Bus, run: str) -> list[Fact]:
    """The run's log; empty where there is none."""
    return list(once(d.message for d in await bus.history(f"{PREFIX}.evt.{run}.>") if isinstance(d.message, Fact)))


async def started_runs(bus: Bus) -> dict[str, RunStarted]:
    stored = await bus.history(f"{PREFIX}.evt.*.run.started")
    return {d.message.run: d.message for d in stored if isinstance(d.message, RunStarted)}


async def ended_runs(bus: Bus) -> dict[str, RunEnded]:
    stored = await bus.history(f"{PREFIX}.evt.*.run.ended")
    return {d.message.run: d.message for d in stored if isinstance(d.message, RunEnded)}


async def waiting_runs(bus: Bus) -> dict[str, RunSubmitted]:
    """Submissions that are not finished: waiting for a generator, or driven by one."""
    stored = await bus.history(f"{PREFIX}.run.submit.>")
    return {d.message.run: d.message for d in stored if isinstance(d.message, RunSubmitted)}
