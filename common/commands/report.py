"""`specgen report`: the run's folder, written again from the streams (or from its own events)."""
from __future__ import annotations

import argparse
from pathlib import Path

from common.bus import Bus
from common.commands.client import run_name, with_bus
from common.folder import make_folder
from common.messages import Message
from common.report import events as event_file
from common.report.events import collect
from common.report.folder import write_folder

NAME = "report"
HELP = "write a run's folder (report, summary, events, candidates) from what is stored"
EXAMPLES = """\
  specgen report cauchy_smoother-20260101-120000-1a2b --out runs/again
  specgen report --events runs/mine/events.jsonl --out runs/again"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("run", nargs="?", type=run_name, metavar="RUN",
                        help="name of the run, as `specgen status` lists it")
    source.add_argument("--events", type=Path, metavar="FILE", help="a run's events.jsonl in place of the streams")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: runs/<run>; FILE's own)")


def run(args: argparse.Namespace) -> int:
    if args.events:
        events = event_file.read(args.events)
        print(_write(args.out or args.events.parent, events))
        return 0

    async def body(bus: Bus) -> int:
        print(_write(args.out or Path("runs") / args.run, await collect(bus, args.run)))
        return 0

    return with_bus(NAME, body)


def _write(folder: Path, events: list[Message]) -> Path:
    write_folder(make_folder(folder, "name another folder with --out"), events)
    return folder / "report.md"
