"""`python -m bench.light.worker STAGE --devices d0,d1`: a worker like validator and profiler, its judge apart."""
from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any, cast

from bench.light.judge import LightJudge
from common.bus import Bus, BusSettings
from common.devices import Device
from common.judge import Judge
from common.messages import Stage
from common.service import run_service, unique_name
from common.settings import load
from common.worker.pull import work
from common.worker.settings import WorkerSettings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", type=Stage)
    parser.add_argument("--devices", required=True, help="names, with commas")
    parser.add_argument("--only", action="store_true", help="the devices can serve this stage alone")
    parser.add_argument("--workers", type=int, default=1, help="workers in this process, one job each")
    parser.add_argument("--broken", type=Path, help="file with the names of devices that do not answer")
    args = parser.parse_args()
    service = {Stage.VALIDATE: "validator", Stage.PROFILE: "profiler"}[args.stage]

    async def serve(bus: Bus, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_work(bus, stop, args, service))
            for number in range(1, args.workers):
                group.create_task(_another(stop, args, service, number))

    return run_service(service, serve)


async def _another(stop: asyncio.Event, args: Any, service: str, number: int) -> None:
    async with await Bus.connect(f"{unique_name(service)}-{number}", load("bus", BusSettings)) as bus:
        await _work(bus, stop, args, service)


async def _work(bus: Bus, stop: asyncio.Event, args: Any, service: str) -> None:
    stages = (args.stage,) if args.only else tuple(Stage)
    devices = tuple(Device(id=name, kind="cpu", cores=(0,), stages=stages) for name in args.devices.split(","))
    judge = cast(Judge, LightJudge(args.broken))
    await work(bus, stop, args.stage, judge, devices, load(service, WorkerSettings))


if __name__ == "__main__":
    raise SystemExit(main())
