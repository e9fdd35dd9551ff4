"""`specgen resume`: submit a run again that nobody drives; it goes on from its log."""
from __future__ import annotations

import argparse
import time

from common.bus import Bus
from common.commands.client import facts_of, run_name, waiting_runs, with_bus
from common.errors import UsageError
from common.messages import RunEnded, RunStarted, RunSubmitted
from common.messages.facts import asked

NAME = "resume"
HELP = "go on with a run that was left unfinished and that no generator drives"
EXAMPLES = "  specgen resume cauchy_smoother-20260101-120000-1a2b"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=run_name, metavar="RUN", help="name of the run, as `specgen status` lists it")


def run(args: argparse.Namespace) -> int:
    async def body(bus: Bus) -> int:
        facts = await facts_of(bus, args.run)
        if args.run in await waiting_runs(bus):
            print(f"{args.run} is already waiting or under way: a generator goes on with it by itself")
            return 0
        start = next((fact for fact in facts if isinstance(fact, RunStarted)), None)
        if start is None:
            raise UsageError(f"no run {args.run} is known; `specgen status` lists runs")
        ended = next((fact for fact in facts if isinstance(fact, RunEnded)), None)
        if ended is not None:
            raise UsageError(f"run {args.run} has ended ({ended.reason}); submit the task anew")
        await bus.record(_submission(start), expect_new=True)
        print(f"{args.run} goes on")
        return 0

    return with_bus(NAME, body)


def _submission(start: RunStarted) -> RunSubmitted:
    return RunSubmitted(run=start.run, at=time.time(), **asked(start))
