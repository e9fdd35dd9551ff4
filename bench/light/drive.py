"""A run's drawn future, played in real time on a real bus: what `bench.simulate.run` does in virtual time."""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from bench.light.candidate import Plan
from bench.light.feed import Feed
from bench.simulate.run import Future
from bench.simulate.workload import Candidate
from bench.simulate.world import World
from common.background import background
from common.messages import Outcome
from generator.state import RunState

BAR = 1.0
"""Speedup that ends an iteration: drawn ones are well above or below it."""
_LONGEST = 600.0


Propose = Callable[[Feed, str, Candidate, str], Awaitable[object]]
"""Of a run: under a name, what a generation brings, its origin."""


async def drive(feed: Feed, world: World, future: Future, campaign: str, propose: Propose | None = None) -> None:
    """All iterations of a run. Its forks are a burst at each completed kernel, its stop is what clears the bar."""
    propose = propose or partial(_light, world)
    await feed.start(iterations=world.iterations, stop="mean", campaign=campaign)
    async with background() as tasks:
        tasks.start(feed.take_results())
        for number in range(1, world.iterations + 1):
            await _iteration(feed, world, future, number, propose)
            await asyncio.sleep(world.pause_seconds)
    await feed.end()


async def _iteration(feed: Feed, world: World, future: Future, number: int, propose: Propose) -> None:
    plan = future.iteration(number)
    await feed.open_iteration()
    places = [tokens for tokens in plan.triggers for _ in range(world.burst)][: world.forks_per_iteration]
    expected = 1 + len(places)
    async with background() as tasks:
        for n, tokens in enumerate(places, 1):
            brings = future.fork(number, n, tokens / plan.reasoning)
            after = (tokens + brings.tokens) / world.rate + world.prefill_seconds
            tasks.start(_propose(feed, after, f"i{number}f{n}", brings, propose, "fork"))
        after = (plan.reasoning + plan.main.tokens) / world.rate
        tasks.start(_propose(feed, after, f"i{number}main", plan.main, propose, "main"))
        await feed.until(lambda state: won(state, number) or _answered(state, number, expected), _LONGEST)
    await feed.end_iteration("stopped" if won(feed.state, number) else "answered")


async def _propose(feed: Feed, after: float, name: str, brings: Candidate, propose: Propose, origin: str) -> None:
    await asyncio.sleep(after)
    await propose(feed, name, brings, origin)
    if origin == "main":
        await feed.answer()


async def _light(world: World, feed: Feed, name: str, brings: Candidate, origin: str) -> None:
    compile_ = brings.validate * world.compile_share
    outcome = Outcome.PASSED if brings.passes else Outcome.WRONG_VALUES
    await feed.propose(name, Plan(
        compile=compile_, validate=brings.validate - compile_, profile=brings.profile, outcome=outcome,
        speedup=brings.speedup,
    ), origin=origin)


def won(state: RunState, number: int) -> bool:
    return any(c.settled and (c.settled.speedup or 0.0) > BAR for c in state.of_iteration(number))


def _answered(state: RunState, number: int, expected: int) -> bool:
    candidates = state.of_iteration(number)
    return len(candidates) == expected and all(c.settled for c in candidates)
