"""`specgen submit`: hand a run to the system that is up, without waiting for it."""
from __future__ import annotations

import argparse

from common.bus import Bus
from common.commands.arguments import add_run_arguments, check_endpoint_arguments, endpoints, submission
from common.commands.client import with_bus
from common.commands.endpoint import require_answers
from common.devices import DeviceSettings
from common.settings import load

NAME = "submit"
HELP = "hand a task to the system that is up; prints the run's name"
EXAMPLES = """\
  specgen submit task.py --llm http://127.0.0.1:8000 --iterations 20
  specgen report $(specgen submit task.py --llm http://127.0.0.1:8000)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    check_endpoint_arguments(args)
    submitted = submission(args, load("devices", DeviceSettings, kind=args.device))
    require_answers(endpoints(args))

    async def body(bus: Bus) -> int:
        await bus.record(submitted, expect_new=True)
        print(submitted.run)
        return 0

    return with_bus(NAME, body)
