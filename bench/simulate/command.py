"""`specgen simulate`: the schedule of a pool that one does not have, by the policies that would run it."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec

from bench.simulate.figures import Figures, Waits
from bench.simulate.picture import timeline
from bench.simulate.system import System
from bench.simulate.workload import read
from bench.simulate.world import Forks, World
from common.errors import UsageError
from scheduler.settings import SchedulerSettings
from trigger.stop import POLICIES

NAME = "simulate"
HELP = "play runs and devices in virtual time, by the real policies"
EXAMPLES = """\
  specgen simulate --devices 18 --runs 10 --iterations 20 --timeline pool.svg
  specgen simulate --devices 2000 --runs 1500 --iterations 3 --deaths-per-hour 1 --faults-per-hour 0.2
  specgen simulate --pools static --seeds 3 --json"""
_POOLS = ("elastic", "published", "static")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    world: World
    pools: str
    figures: Figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    w = World()
    parser.add_argument("--devices", type=int, default=w.devices)
    parser.add_argument("--workers", type=int, default=w.workers, help="jobs of a stage at once (0: one a device)")
    parser.add_argument("--runs", type=int, default=w.runs)
    parser.add_argument("--iterations", type=int, default=w.iterations, help="of each run")
    parser.add_argument("--campaigns", type=int, default=w.campaigns, help="the runs are dealt to as many")
    parser.add_argument("--pools", choices=_POOLS, default="elastic", help="how devices are shared by the stages")
    parser.add_argument("--forks", choices=get_args(Forks), default=w.forks, help="when a run forks")
    parser.add_argument("--burst", type=int, default=w.burst, help="forks of a burst")
    parser.add_argument("--stop", choices=tuple(POLICIES), default=w.stop,
                        help="what ends an iteration, as in `specgen run`")
    parser.add_argument("--rate", type=float, default=w.rate, help="tokens a second of one generation")
    parser.add_argument("--service", type=float, default=w.service, help="factor on the recorded judging times")
    parser.add_argument("--compile-share", type=float, default=w.compile_share,
                        help="part of a validation that needs no device")
    parser.add_argument("--deaths-per-hour", type=float, default=0.0, help="kill -9 of a worker at work")
    parser.add_argument("--faults-per-hour", type=float, default=0.0, help="times a device answers nothing for a while")
    parser.add_argument("--seed", type=int, default=w.seed)
    parser.add_argument("--seeds", type=int, default=1, help="worlds to play, from --seed on")
    parser.add_argument("--timeline", type=Path, metavar="FILE.svg", help="draw the last one")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    fields = {name: getattr(args, name) for name in World.__struct_fields__ if hasattr(args, name)}
    for name in ("devices", "runs", "iterations", "campaigns", "burst", "rate", "service", "seeds"):
        if not (value := getattr(args, name)) > 0:
            raise UsageError(f"--{name} must be more than 0, not {value}")
    if args.workers < 0:
        raise UsageError(f"--workers must be 0 or more, not {args.workers}")
    if not min(args.deaths_per_hour, args.faults_per_hour) >= 0:
        raise UsageError("--deaths-per-hour and --faults-per-hour must be 0 or more")
    if not 0 <= args.compile_share < 1:
        raise UsageError(f"--compile-share is a share below 1, not {args.compile_share}")
    if args.timeline and not args.timeline.parent.is_dir():
        raise UsageError(f"--timeline {args.timeline}: there is no folder {args.timeline.parent}")
    worlds = [World(**fields | {"seed": args.seed + i}) for i in range(args.seeds)]
    for world in worlds:
        settings = SchedulerSettings(pools=args.pools, waiting_limit=max(512, 64 * world.runs))
        system = System(world, read(), settings)
        report = Report(world=world, pools=args.pools, figures=system.play())
        print(msgspec.json.encode(report).decode() if args.json else _text(report), flush=True)
    if args.timeline:
        args.timeline.write_text(timeline(system.site.spans, sorted(system.site.devices, key=_number)))
        print(f"timeline: {args.timeline}", file=sys.stderr)
    return 0


def _number(device: str) -> int:
    return int(device.removeprefix("d"))


def _text(report: Report) -> str:
    w, f = report.world, report.figures
    lines = [
        f"seed {w.seed}: {w.devices} devices ({report.pools}), {w.runs} runs of {w.iterations} iterations",
        "assumed         " + ", ".join(f"{name} {getattr(w, name)}" for name in World.__struct_fields__
                                   if name not in ("devices", "runs", "iterations", "seed")),
        f"end to end      {f.seconds:,.0f} s, {f.iterations} iterations: {_counts(f.reasons)}",
        f"candidates      {f.candidates:,}, profiled {f.profiled:,}",
        f"devices         busy {f.busy:.1%}, useful {f.useful:.1%}, {f.reallocations:,} changes of a role"
        + (f", no result: {_counts(f.lost)}" if f.lost else ""),
        f"feedback        {_waits(f.feedback)}",
        *(f"{stage + ' waits':16}{_waits(found)}" for stage, found in f.queue.items()),
    ]
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _waits(w: Waits) -> str:
    return f"p50 {w.p50:.1f} s, p90 {w.p90:.1f} s, p99 {w.p99:.1f} s, longest {w.longest:.1f} s of {w.count}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))
