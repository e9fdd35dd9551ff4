"""`python -m bench.elastic`: four ways of sharing devices between the stages, and the method step by step.

In virtual time, the same bursts of forks meet a static split, the published rule (our reading), ours and a scheduler
with perfect foresight, at several offered loads; then speculation, reallocation and priorities are added one by one.
Prints tables, or JSON with --json. `docs/scheduling.md` explains the figures. `--real` plays it small with processes.
"""
from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import msgspec

from bench.elastic_real import compare, show
from bench.simulate.bounds import least_seconds, with_load, with_runs
from bench.simulate.figures import Figures
from bench.simulate.system import System
from bench.simulate.ways import STEPS, WAYS, play
from bench.simulate.workload import read
from bench.simulate.world import World
from common.logs import configure


class Case(msgspec.Struct, frozen=True, kw_only=True):
    load: float
    seed: int
    runs: int
    iterations: int
    service: float
    least: dict[str, float]
    """Lower bounds of the makespan, seconds."""
    ways: dict[str, Figures]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=18)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=100, help="of each run")
    parser.add_argument("--wins", type=float, default=0.2, help="share of passing kernels that end their iteration")
    parser.add_argument("--loads", default="0.6,0.8,0.95")
    parser.add_argument("--steps-at", type=float, default=0.8, help="offered load of the steps; 0 leaves them out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--real", action="store_true", help="small, with real processes and a real server")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    configure("bench")
    if args.real:
        with TemporaryDirectory() as folder:
            real = asyncio.run(compare(Path(folder)))
        print(msgspec.json.encode(real).decode()) if args.json else show(real)
        return 0
    world = World(devices=args.devices, runs=args.runs, iterations=args.iterations, wins=args.wins)
    worlds = [msgspec.structs.replace(world, seed=seed) for seed in range(1, args.seeds + 1)]
    jobs: list[tuple[Callable[[World, float], Case], World, float]]
    jobs = [(ways, world, load) for load in map(float, filter(None, args.loads.split(","))) for world in worlds]
    jobs += [(steps, world, args.steps_at) for world in worlds if args.steps_at]
    cases = []
    with ProcessPoolExecutor(args.processes) as pool:
        for done in [pool.submit(job, world, load) for job, world, load in jobs]:
            cases.append(done.result())
            print(f"{len(cases)} of {len(jobs)}", file=sys.stderr)
    if args.json:
        print(msgspec.json.encode({"world": world, "cases": cases}).decode())
    else:
        _print(world, cases)
    return 0


def ways(world: World, load: float) -> Case:
    """The load is reached by longer judging."""
    world, free = with_load(world, read(), load)
    return _case(world, load, free, WAYS)


def steps(world: World, load: float) -> Case:
    """With judging as recorded: the load is reached by more runs, each of fewer iterations."""
    world, free = with_runs(world, read(), load)
    return _case(world, load, free, tuple(STEPS))


def _case(world: World, load: float, free: System, names: Sequence[str]) -> Case:
    return Case(
        load=load, seed=world.seed, runs=world.runs, iterations=world.iterations, service=round(world.service, 3),
        least=least_seconds(world, read(), free), ways={name: play(name, world, read()) for name in names},
    )


def spread(values: Sequence[float], form: str = "{:.3f}") -> str:
    """The mean and, in brackets, the least and the most."""
    return f"{form} ({form}–{form})".format(fmean(values), min(values), max(values))


def _print(world: World, cases: Sequence[Case]) -> None:
    print(f"{world.devices} devices, {world.runs} runs of {world.iterations} iterations; mean (least–most) of seeds")
    for load in dict.fromkeys(c.load for c in cases if set(c.ways) == set(WAYS)):
        mine = [c for c in cases if c.load == load and set(c.ways) == set(WAYS)]
        bound = spread([max(c.least.values()) / c.ways["oracle"].seconds for c in mine])
        print(f"\noffered load {load:.0%} (judging {spread([c.service for c in mine], '{:.1f}')} times as long as "
              f"recorded): no scheduler needs less than {bound} of the oracle's makespan")
        print(f"{'':12}{'makespan / oracle':>22}{'busy':>7}{'useful':>8}{'feedback p50':>14}{'p99':>8}{'changes':>9}")
        for way in WAYS:
            figures = [c.ways[way] for c in mine]
            ratio = spread([c.ways[way].seconds / c.ways["oracle"].seconds for c in mine])
            print(f"{way:12}{ratio:>22}"
                  f"{fmean(f.busy for f in figures):7.1%}{fmean(f.useful for f in figures):8.1%}"
                  f"{fmean(f.feedback.p50 for f in figures):12.1f} s{fmean(f.feedback.p99 for f in figures):6.0f} s"
                  f"{fmean(f.reallocations for f in figures):9.0f}")
    found = [c for c in cases if set(c.ways) == set(STEPS)]
    if not found:
        return
    print(f"\nstep by step, {found[0].runs} runs of {found[0].iterations} iterations, judging as recorded: with "
          f"speculation {found[0].load:.0%} offered load")
    first = next(iter(STEPS))
    for step in STEPS:
        gains = [c.ways[first].seconds / c.ways[step].seconds for c in found]
        more = [c.ways[step].profiled / c.ways[step].seconds * c.ways[first].seconds / c.ways[first].profiled
                for c in found]
        print(f"{step:34}{spread(gains, '{:.2f}'):>20} x faster, {spread(more, '{:.2f}'):>18} x profiled a second")


if __name__ == "__main__":
    raise SystemExit(main())
