"""One part: a whole system of services as `specgen run` starts it, and the runs played on it to their ends."""
from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from bench.light.measure import stored
from common.background import background
from common.bus import Bus
from common.messages import PREFIX, Budget, Message, RunSubmitted, TokenDelta, WorkerBeat, pattern
from common.report.events import collect
from common.report.folder import write_folder
from common.report.lines import line_of
from common.report.watch import Watch
from common.supervise import Supervisor
from common.system import Plan, local_system

READY_SECONDS = 120.0
LATE_SECONDS = 1.0
"""For the device facts that follow a run's end."""


class Played(msgspec.Struct, kw_only=True):
    """What happened, each run by itself and all together."""

    runs: dict[str, list[Message]]
    """Each with the device facts of its period."""
    events: list[Message]
    """Of all runs and devices."""
    said: dict[tuple[str, int], str]
    """(run, iteration) to the text of its main generation as the bus carried it."""


async def play(plan: Plan, submitted: Sequence[RunSubmitted], *, warm: float, until: float) -> Played:
    """All runs at once, as several users would have it. Their reports are written under the plan's folder.

    They begin `warm` seconds after the last worker was heard, in which judges load what they need, as those of a system
    that has run for a while have. `until`, of the monotonic clock, becomes a budget: what then still runs is ended in
    order. ServiceFailed where a service cannot start.
    """
    async with local_system(plan) as system, await Bus.connect("replayed", system.bus) as bus, background() as tasks:
        tasks.start(_failure(system.supervisor))
        await _ready(bus, plan.validators + plan.profilers)
        await asyncio.sleep(warm)
        seconds = max(1.0, until - time.monotonic())
        await asyncio.gather(*(_run(bus, _limited(one, seconds)) for one in submitted))
        await asyncio.sleep(LATE_SECONDS)
        runs = {one.run: await collect(bus, one.run) for one in submitted}
        for run, events in runs.items():
            write_folder(plan.folder / run, events)
        return Played(runs=runs, events=await stored(bus), said=await said(bus, list(runs)))


def _limited(submitted: RunSubmitted, seconds: float) -> RunSubmitted:
    budget = Budget(iterations=submitted.budget.iterations, seconds=seconds)
    return msgspec.structs.replace(submitted, at=time.time(), budget=budget)


async def _failure(supervisor: Supervisor) -> None:
    """Raises where a service cannot start at all, and never ends otherwise."""
    assert supervisor.failure is not None
    await asyncio.shield(supervisor.failure)


async def _ready(bus: Bus, workers: int) -> None:
    """Every validator and profiler was heard."""
    heard: set[str] = set()
    async with asyncio.timeout(READY_SECONDS), bus.listen(pattern(WorkerBeat)) as beats:
        async for delivery in beats:
            if isinstance(delivery.message, WorkerBeat):
                heard.add(delivery.message.worker)
            if len(heard) >= workers:
                return


async def _run(bus: Bus, submitted: RunSubmitted) -> None:
    def show(event: Message) -> None:
        if line := line_of(event, submitted.at):
            print(f"{submitted.run}: {line}", file=sys.stderr)

    await bus.record(submitted, expect_new=True)
    await Watch(bus, submitted.run).until_ended(show)


async def said(bus: Bus, runs: Sequence[str]) -> dict[tuple[str, int], str]:
    """(run, iteration) to all that its main generation has said, markers included, from the stream of tokens."""
    parts: defaultdict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for delivery in await bus.history(f"{PREFIX}.tok.>"):
        delta = delivery.message
        if isinstance(delta, TokenDelta) and delta.generation == "main" and delta.run in runs:
            parts[delta.run, delta.iteration][delta.first_char] = delta.text
    return {key: "".join(texts[at] for at in sorted(texts)) for key, texts in parts.items()}
