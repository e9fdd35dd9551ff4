"""`specgen limits`: a running server's streams get the limits that the settings here name."""
from __future__ import annotations

import argparse

from common.bus import Bus
from common.commands.client import with_bus

NAME = "limits"
HELP = "give the streams of a running server the limits that the settings here name"
EXAMPLES = "  SPECGEN_BUS_STREAM_MIB='{\"evt\": 8192}' specgen limits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: limits are settings."""


def run(args: argparse.Namespace) -> int:
    return with_bus(NAME, apply)


async def apply(bus: Bus) -> int:
    """The limits in force afterwards, a line a stream."""
    for name, config in sorted((await bus.apply_limits()).items()):
        age = f"{config['max_age'] / 86_400e9:g} days" if config["max_age"] else "for good"
        print(f"{name:<12} {config['max_bytes'] / 2**20:>7g} MiB  {age}")
    return 0
