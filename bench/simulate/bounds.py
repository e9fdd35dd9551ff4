"""What no scheduler can beat, and how much work a world offers."""
from __future__ import annotations

import msgspec

from bench.simulate.oracle import Oracle
from bench.simulate.run import Future
from bench.simulate.system import System
from bench.simulate.workload import Candidate, Draws, Workload
from bench.simulate.world import World

_PLENTY = 1000
_CLOSE = 0.005
_TRIES = 8


def unlimited(world: World, workload: Workload) -> System:
    """Played with a device for every job, and messages that take no time."""
    free = msgspec.structs.replace(world, devices=_PLENTY, message_seconds=0.0, poll_seconds=0.0, kill_seconds=0.0)
    system = System(free, workload, scheduler=Oracle)
    system.play()
    return system


def ended(system: System) -> float:
    """Seconds to the end of the last run."""
    return max(run.state.ended.at for run in system.runs.values() if run.state.ended)


def offered(world: World, system: System) -> float:
    """Device-seconds that the work takes where no job ever waits, over what the world's devices have in that time."""
    return sum(span.end - span.start for span in system.site.spans) / (world.devices * ended(system))


def with_load(world: World, workload: Workload, load: float) -> tuple[World, System]:
    """The world with judging times such that it offers that load, and how it is played without limits."""
    system = unlimited(world, workload)
    for _ in range(_TRIES):
        found = offered(world, system)
        if abs(found - load) < _CLOSE:
            break
        world = msgspec.structs.replace(world, service=world.service * load / found)
        system = unlimited(world, workload)
    return world, system


def with_runs(world: World, workload: Workload, load: float) -> tuple[World, System]:
    """The same by more or fewer runs; there are as many iterations of all runs together."""
    total = world.runs * world.iterations
    system = unlimited(world, workload)
    for _ in range(2):
        runs = max(1, round(world.runs * load / offered(world, system)))
        world = msgspec.structs.replace(world, runs=runs, iterations=max(1, round(total / runs)))
        system = unlimited(world, workload)
    return world, system


def least_seconds(world: World, workload: Workload, system: System) -> dict[str, float]:
    """Lower bounds of the time to the end of the last run, for worlds whose forks do not depend on the load and whose
    winners are drawn (`wins`).

    `path`: without limits each candidate has its result as early as can be, so each iteration ends as early as can be.
    `work`: an iteration ends by a result that clears the bar, which takes that candidate's device time at least; where
    no candidate will, every one is judged. Summed over all runs and divided by the devices.
    """
    work = sum(
        _least_work(world, Draws(workload, world.seed, name, world.service, world.wins), len(run.state.iterations))
        for name, run in system.runs.items()
    )
    return {"path": ended(system), "work": work / world.devices}


def _least_work(world: World, future: Future, iterations: int) -> float:
    total = 0.0
    for number in range(1, iterations + 1):
        candidates = _all(world, future, number)
        winners = [c.validate + c.profile for c in candidates if c.passes and _wins(c)]
        total += min(winners) if winners else sum(c.validate + c.profile * c.passes for c in candidates)
    return total


def _wins(candidate: Candidate) -> bool:
    return candidate.speedup > 1.0


def _all(world: World, future: Future, number: int) -> list[Candidate]:
    """Everything an iteration may bring, if it is not stopped."""
    plan = future.iteration(number)
    forks = [tokens / plan.reasoning for tokens in plan.triggers for _ in range(world.burst)]
    return [plan.main, *(future.fork(number, n, depth)
                         for n, depth in enumerate(forks[: world.forks_per_iteration], 1))]


