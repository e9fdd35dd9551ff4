"""How many validators a GPU should have: `python -m bench.validators [--seeds N]`.

One GPU in virtual time (`bench/simulate/`), with one to four workers of each stage: the device does one job at a time,
and the others compile meanwhile. Prints JSON, a line for each number of runs at once and factor on the judging times:
how many times as fast everything was as with one worker (median and least of the seeds, each compared with itself), and
the seconds from a candidate to its result (median of the seeds).
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from statistics import median

from bench.simulate.figures import Figures
from bench.simulate.system import System
from bench.simulate.workload import read
from bench.simulate.world import World
from scheduler.settings import SchedulerSettings

RUNS = (1, 4)
SERVICE = (1.0, 2.0)
WORKERS = (1, 2, 3, 4)
COMPILE_SHARE = 0.7
"""What nvcc takes of a validation on an H200: 10 to 15 s beside some 5 on the device (docs/engine.md)."""
ITERATIONS = 4


def play(runs: int, service: float, workers: int, seed: int) -> Figures:
    world = World(
        devices=1, workers=workers, runs=runs, iterations=ITERATIONS, service=service, compile_share=COMPILE_SHARE,
        seed=seed,
    )
    return System(world, read(), SchedulerSettings(waiting_limit=max(512, 64 * runs))).play()


def row(runs: int, service: float, seeds: Sequence[int]) -> dict[str, object]:
    figures = {workers: [play(runs, service, workers, seed) for seed in seeds] for workers in WORKERS}
    alone = figures[1]
    return {"runs": runs, "service": service, "workers": {
        workers: {
            "times_as_fast": _spread([one.seconds / few.seconds for one, few in zip(alone, found, strict=True)]),
            "feedback_p50": round(median(one.feedback.p50 for one in found), 1),
            "feedback_p90": round(median(one.feedback.p90 for one in found), 1),
        }
        for workers, found in figures.items()
    }}


def _spread(ratios: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(ratios), 2), "least": round(min(ratios), 2)}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.validators", description="Workers a GPU, in virtual time.")
    parser.add_argument("--seeds", type=int, default=16)
    options = parser.parse_args(argv)
    for runs in RUNS:
        for service in SERVICE:
            print(json.dumps(row(runs, service, range(1, options.seeds + 1))), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
