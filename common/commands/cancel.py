"""`specgen cancel`: end a run; what it found so far stays."""
from __future__ import annotations

import argparse
import time

from common.bus import Bus
from common.commands.client import facts_of, run_name, waiting_runs, with_bus
from common.errors import UsageError
from common.messages import CancelRun, RunEnded

NAME = "cancel"
HELP = "end a run that waits or is under way; what it found stays"
EXAMPLES = "  specgen cancel cauchy_smoother-20260101-120000-1a2b"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=run_name, metavar="RUN", help="name of the run, as `specgen status` lists it")
    parser.add_argument("--reason", default="asked for by the operator")


def run(args: argparse.Namespace) -> int:
    async def body(bus: Bus) -> int:
        facts = await facts_of(bus, args.run)
        if any(isinstance(fact, RunEnded) for fact in facts):
            raise UsageError(f"run {args.run} has ended already")
        if not facts and args.run not in await waiting_runs(bus):
            raise UsageError(f"no run {args.run} is known; `specgen status` lists runs")
        await bus.record(CancelRun(run=args.run, at=time.time(), reason=args.reason))
        print(f"{args.run} will end; `specgen report {args.run}` shows what it found")
        return 0

    return with_bus(NAME, body)
