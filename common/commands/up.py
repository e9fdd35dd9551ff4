"""`specgen up`: the server and every service on this host, until Ctrl-C or SIGTERM."""
from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from common.background import end_all
from common.bus import BusSettings
from common.commands.arguments import check_process_arguments
from common.commands.engine import add_engine_arguments, require_engine, start_engine
from common.errors import UsageError
from common.folder import make_folder
from common.logs import configure
from common.settings import load, refuse_unknown
from common.system import LocalSystem, is_up, local_system, make_plan

NAME = "up"
HELP = "start the server and every service on this host and keep them running"
EXAMPLES = """\
  specgen up
  specgen up --device cuda --validators 4
  specgen up --state /var/lib/specgen
  specgen up --engine vllm --model /models/Qwen3-8B"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, metavar="DIR", help="where the server keeps its store")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="kind of device to judge on (default: settings, cpu)")
    parser.add_argument("--validators", type=int, metavar="N", help="how many (default: one a CPU slot, three a GPU)")
    parser.add_argument("--profilers", type=int, metavar="N", help="profiler processes (default: one a timing device)")
    parser.add_argument("--model", default="", metavar="DIR", help="model for --engine: a directory, or a hub's name")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    check_process_arguments(args)
    if (args.model or args.engine_arg) and not args.engine:
        raise UsageError("--model and --engine-arg go with --engine vllm")
    refuse_unknown()
    configure("up")
    settings = load("bus", BusSettings, state_dir=str(args.state.absolute()) if args.state else None)
    if settings.url:
        raise UsageError("SPECGEN_BUS_URL names a server: `up` starts its own; unset it, or start single services")
    if args.engine:
        require_engine(args)
    make_folder(Path(settings.state_dir), "name another folder with --state")
    asyncio.run(_up(args, settings))
    return 0


async def _up(args: argparse.Namespace, settings: BusSettings) -> None:
    if await is_up(settings):
        raise UsageError(f"a system is up already on {settings.state_dir}; `specgen status` shows it")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    state = Path(settings.state_dir)
    plan = make_plan(
        state, state_dir=state, device=args.device, validators=args.validators, profilers=args.profilers
    )
    async with local_system(plan) as system:
        print(f"up at {system.bus.url}; state and logs in {state}; end with Ctrl-C", flush=True)
        assert system.supervisor.failure is not None
        system.supervisor.failure.add_done_callback(lambda _: stop.set())
        engine = asyncio.create_task(_engine(args, system))
        await stop.wait()
        await end_all([engine])
        if system.supervisor.failure.done():
            system.supervisor.failure.result()


async def _engine(args: argparse.Namespace, system: LocalSystem) -> None:
    if args.engine:
        ready = await start_engine(system.supervisor, args, system.plan.folder / "logs")
        print(f"{ready.model} at {ready.url}; hand tasks to it with --llm {ready.url}", flush=True)
