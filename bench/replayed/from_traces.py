"""Recorded traces as recordings with forks: `python -m bench.replayed.from_traces OUT`.

OUT/<task>/recording is for `bench.replayed --recordings`. A trace does not say what a fork would have answered: rule
`mixture` of `bench/standins.py` says which recorded kernel of the same task stands in at which depth. OUT lies outside
of the project: third-party text does not go into it.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import standins, traces
from bench.standins import Pool, Rule
from bench.traces import Trace
from common.errors import UsageError
from generator.replay.recording import Iteration, Recording
from generator.replay.traces import RATE
from generator.replay.write import FENCE, write_recording

RULE: Rule = "mixture"
SEED = 1
NOTHING = "# No recorded kernel stands in here.\n"


def recording(pool: Pool, run: list[Trace]) -> Recording:
    """Of traces of one task, an iteration each."""
    return Recording(
        model=run[0].model, rate=RATE, fence=FENCE, task=run[0].task_source,
        iterations=tuple(_iteration(pool, trace) for trace in run),
    )


def _iteration(pool: Pool, trace: Trace) -> Iteration:
    reasoning = trace.thinking.lstrip()
    cut = len(trace.thinking) - len(reasoning)
    forks = ((char, pool.fork(RULE, trace, char, 0, SEED).kernel or NOTHING) for char in pool.steps(RULE, trace))
    return Iteration(
        reasoning=reasoning, answer=trace.answer,
        forks=tuple((max(0, char - cut), f"{kernel.rstrip()}\n```\n") for char, kernel in forks),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.replayed.from_traces", description="Pack recorded traces.")
    parser.add_argument("out", type=Path, help="a folder outside of the project")
    parser.add_argument("--traces", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=2, help="of each run")
    parser.add_argument(
        "--tokens", type=int, nargs=2, default=(traces.LENGTHS.start, traces.LENGTHS.stop - 1), metavar=("MIN", "MAX"),
        help="of the reasoning (default: %(default)s)",
    )
    options = parser.parse_args()
    kept = traces.load(options.traces or traces.default_files(traces.REASONING))
    pool = standins.default_pool(kept)
    modules = [trace for trace in kept if "class ModelNew" in trace.kernel]
    chosen = traces.choose(
        modules, runs=options.runs, iterations=options.iterations, seed=SEED,
        lengths=range(options.tokens[0], options.tokens[1] + 1),
    )
    for run in chosen:
        write_recording(options.out / run[0].task / "recording", recording(pool, run))
        print(f"{run[0].task}: {', '.join(f'{t.id} of {t.tokens} tokens' for t in run)}")


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        print(f"from_traces: {error}", file=sys.stderr)
        raise SystemExit(2) from None
