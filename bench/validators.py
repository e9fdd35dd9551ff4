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

import msgspec

from bench.simulate.figures import Figures
from bench.simulate.ways import play
from bench.simulate.workload import Workload, read
from bench.simulate.world import World

RUNS = (1, 4)
SERVICE = (1.0, 2.0)
WORKERS = (1, 2, 3, 4)
COMPILE_SHARE = 0.7
"""What nvcc takes of a validation on an H200: 10 to 15 s beside some 5 on the device (docs/engine.md)."""
ITERATIONS = 4


def row(workload: Workload, runs: int, service: float, seeds: Sequence[int]) -> dict[str, object]:
    world = World(devices=1, runs=runs, iterations=ITERATIONS, service=service, compile_share=COMPILE_SHARE)
    figures = {workers: [
        play("elastic", msgspec.structs.replace(world, workers=workers, seed=seed), workload) for seed in seeds
    ] for workers in WORKERS}
    return {"runs": runs, "service": service, "workers": {
        workers: _compared(found, figures[1]) for workers, found in figures.items()
    }}


def _compared(found: Sequence[Figures], alone: Sequence[Figures]) -> dict[str, object]:
    return {
        "times_as_fast": _spread([one.seconds / few.seconds for one, few in zip(alone, found, strict=True)]),
        "feedback_p50": round(median(few.feedback.p50 for few in found), 1),
        "feedback_p90": round(median(few.feedback.p90 for few in found), 1),
    }


def _spread(ratios: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(ratios), 2), "least": round(min(ratios), 2)}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.validators", description="Workers a GPU, in virtual time.")
    parser.add_argument("--seeds", type=int, default=24)
    options = parser.parse_args(argv)
    workload, seeds = read(), range(1, options.seeds + 1)
    for runs in RUNS:
        for service in SERVICE:
            print(json.dumps(row(workload, runs, service, seeds)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
