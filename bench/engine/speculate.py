"""Speculation on against off, end to end, on one engine: recorded iterations are streamed, forked, judged and stopped.

Real: the engine's decoding, prefill, cache, priorities and aborts of main streams and forks (teacher forcing), the fork
policy and the stop policy, live, with the clock running. Stood in for: what a fork answers (`recorded.py`) and the
judging of candidates, which takes the seconds recorded for such candidates, at most `JUDGE_LIMIT`, on workers of each
run. H holds the recorded answers of the run's earlier iterations, so that on and off have the same bars to clear.
"""
from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from bench.engine.client import Client
from bench.engine.iteration import Run
from bench.engine.recorded import Recorded
from bench.engine.world import Played, World
from trigger.settings import TriggerSettings

_SUMMED = (
    "main_tokens", "saved_tokens", "fork_tokens", "wasted_fork_tokens", "forks", "drafts", "profiled", "stopped",
)


async def play(
    client: Client, recorded: Recorded, world: World, settings: TriggerSettings, *, speculate: bool
) -> list[list[Played]]:
    """All runs at once, as several users would have it."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                Run(client, recorded, world, settings, speculate=speculate, name=f"{n} {speculate}").play(iterations)
            )
            for n, iterations in enumerate(recorded.runs)
        ]
    return [task.result() for task in tasks]


async def compare(
    client: Client, recorded: Recorded, world: World, settings: TriggerSettings | None = None
) -> dict[str, Any]:
    """Off, then on, with every iteration of both."""
    found: dict[str, Any] = {"rule": recorded.rule, "seed": recorded.seed, "world": msgspec.to_builtins(world)}
    for name, speculate in (("off", False), ("on", True)):
        began = time.monotonic()
        runs = await play(client, recorded, world, settings or TriggerSettings(), speculate=speculate)
        found[name] = _totals(runs) | {
            "wall_seconds": round(time.monotonic() - began, 2), "runs": msgspec.to_builtins(runs),
        }
    found["speedup"] = round(found["off"]["seconds"] / found["on"]["seconds"], 3)
    return found


def _totals(runs: list[list[Played]]) -> dict[str, Any]:
    """Sums over iterations; `seconds` is the sum of their durations, as a user of one run has them."""
    played = [iteration for run in runs for iteration in run]
    sums = {name: sum(getattr(p, name) for p in played) for name in _SUMMED}
    return {"iterations": len(played), "seconds": round(sum(p.seconds for p in played), 2), **sums}
