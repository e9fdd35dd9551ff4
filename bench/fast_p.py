"""fast_p over the runs of a set of tasks: `python -m bench.fast_p RUN_FOLDER...`.

fast_p is the share of tasks whose best kernel is right and more than p times as fast as eager (KernelBench, arXiv
2502.10517). A task that was run several times counts once, by its best run; one without a valid kernel counts as none.
Prints JSON.
"""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from common.errors import UsageError

LEVELS = (0.0, 1.0, 1.5, 2.0, 5.0)


def fast_p(speedups: Mapping[str, float], p: float) -> float:
    """`speedups`: by task, 0 where it has no valid kernel. ValueError without a task."""
    if not speedups:
        raise ValueError("no task: fast_p is a share of tasks")
    return sum(speedup > p for speedup in speedups.values()) / len(speedups)


def best_by_task(folders: Iterable[Path]) -> dict[str, float]:
    """From each run's summary. UsageError where a folder holds none."""
    found: dict[str, float] = {}
    for folder in folders:
        try:
            summary = json.loads((folder / "summary.json").read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder} is no folder of a run: {error}") from None
        speedup = summary["best"]["speedup"] if summary["best"] else 0.0
        found[summary["task"]] = max(speedup, found.get(summary["task"], 0.0))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fast_p", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--p", nargs="+", type=float, default=LEVELS)
    args = parser.parse_args(argv)
    try:
        tasks = best_by_task(args.folders)
    except UsageError as error:
        print(f"bench.fast_p: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"tasks": tasks, "fast_p": {f"{p:g}": fast_p(tasks, p) for p in args.p}}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
