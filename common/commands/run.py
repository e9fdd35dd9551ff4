"""`specgen run`: one task from submission to report, on a system of its own or on one that is up."""
from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from common.bus import Bus, BusSettings
from common.commands.arguments import (
    add_run_arguments,
    check_endpoint_arguments,
    check_process_arguments,
    endpoints,
    submission,
)
from common.commands.endpoint import require_answers, require_recording, start_replay
from common.commands.engine import add_engine_arguments, require_engine, start_engine
from common.devices import DeviceSettings, other_cores
from common.errors import UsageError
from common.folder import make_folder
from common.logs import configure, get_logger
from common.messages import CancelRun, Llm, RunSubmitted
from common.pinned import pinned
from common.report.events import collect
from common.report.folder import write_folder
from common.report.live import live_view
from common.report.summary import Summary
from common.report.watch import Watch
from common.service import unique_name
from common.settings import load, refuse_unknown
from common.supervise import Supervisor
from common.system import is_up, local_system, make_plan

NAME = "run"
HELP = "optimise one task: start what is needed, show progress, leave the best kernel and a report"
EXAMPLES = """\
  specgen run examples/cauchy_smoother/task.py --replay examples/cauchy_smoother/recording
  specgen run task.py --llm http://127.0.0.1:8000 --iterations 10 --max-seconds 1800
  specgen run task.py --llm http://10.0.0.1:8000 --llm http://10.0.0.2:8000
  specgen run task.py --engine vllm --model /models/Qwen3-8B --engine-arg=--max-model-len=40960
  specgen run task.py --llm https://host/v1 --model name --api-key-env MY_KEY --out runs/mine"""

CANCEL_SECONDS = 5.0
"""How long an interrupted run may take to end in order."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    replay = parser.add_argument_group("a recording in place of a model")
    replay.add_argument("--replay", metavar="RECORDING", help="its folder; docs/recordings.md has the format")
    replay.add_argument("--rate", type=float, metavar="N", help="tokens a second (default: the recording's own)")
    add_engine_arguments(parser)
    here = parser.add_argument_group("here", "a system that is up has processes of its own: then only --out counts")
    here.add_argument("--validators", type=int, metavar="N", help="how many (default: one a CPU slot, three a GPU)")
    here.add_argument("--profilers", type=int, metavar="N", help="profiler processes (default: one a timing device)")
    here.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: runs/<run>)")


def run(args: argparse.Namespace) -> int:
    """0 with a valid kernel that beats eager, 1 without, 2 where the input cannot be used."""
    check_endpoint_arguments(args)
    check_process_arguments(args)
    refuse_unknown()
    configure("run", default="warning")  # the view says what happens; the services' logs are in the folder
    devices = load("devices", DeviceSettings, kind=args.device)
    submitted = submission(args, devices)
    if args.llm:
        require_answers(endpoints(args))
    elif args.engine:
        require_engine(args)
    else:
        require_recording(args.replay, args.rate)
    folder = (args.out or Path("runs") / submitted.run).absolute()
    if any(make_folder(folder, "name another folder with --out").iterdir()):
        raise UsageError(f"{folder} is not empty: name another folder with --out")
    try:
        summary = asyncio.run(_interruptible(_run(args, submitted, folder)))
    except asyncio.CancelledError:
        print("interrupted; everything was ended", file=sys.stderr)
        if (folder / "report.md").exists():
            print(f"what it found: {_shown(folder) / 'report.md'}", file=sys.stderr)
        return 130
    _print_end(summary, folder)
    return 0 if summary.best and summary.best.speedup > 1.0 else 1


async def _interruptible(work: Coroutine[Any, Any, Summary]) -> Summary:
    """Ctrl-C and SIGTERM cancel the work, whose blocks then end everything they started."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await task


async def _run(args: argparse.Namespace, submitted: RunSubmitted, folder: Path) -> Summary:
    async with _system(args, folder) as (settings, supervisor):
        submitted = msgspec.structs.replace(submitted, llm=await _llm(args, submitted.llm, supervisor, folder))
        async with await Bus.connect(unique_name("cli"), settings) as bus:
            await bus.record(submitted, expect_new=True)
            watch = Watch(bus, submitted.run)
            try:
                with live_view(watch) as view:
                    await _or_failure(watch.until_ended(view.show), supervisor)
            except asyncio.CancelledError:
                await _cancel(bus, submitted.run)
                if watch.tally is not None:
                    write_folder(folder, await collect(bus, submitted.run))
                raise
            return write_folder(folder, await collect(bus, submitted.run))


async def _cancel(bus: Bus, run: str) -> None:
    """An interrupted run ends as cancelled, on a system that stays up too; what it found so far is kept."""
    await bus.record(CancelRun(run=run, at=time.time(), reason="interrupted"))
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            await Watch(bus, run).until_ended(lambda _: None)
    except TimeoutError:
        get_logger().warning("run.not_cancelled_in_time", run=run, seconds=CANCEL_SECONDS)


@asynccontextmanager
async def _system(args: argparse.Namespace, folder: Path) -> AsyncIterator[tuple[BusSettings, Supervisor]]:
    """The system that `specgen up` runs, if one answers; else one of our own with its state under `folder`.

    Either may judge on this host: what is started within the block keeps off the cores that time.
    """
    settings = load("bus", BusSettings)
    if await is_up(settings):
        with pinned(other_cores(load("devices", DeviceSettings, kind=args.device))):
            async with Supervisor(folder / "logs") as supervisor:
                yield settings, supervisor
        return
    plan = make_plan(
        folder, state_dir=folder / "state", device=args.device, validators=args.validators, profilers=args.profilers
    )
    async with local_system(plan) as system:
        yield system.bus, system.supervisor


async def _llm(args: argparse.Namespace, given: Llm, supervisor: Supervisor, folder: Path) -> Llm:
    """The model as the generator reaches it, started where it was asked for."""
    if args.replay:
        url = await start_replay(supervisor, args.replay, args.rate, folder / "logs" / "replay.json")
        return msgspec.structs.replace(given, url=url)
    if args.engine:
        ready = await start_engine(supervisor, args, folder / "logs")
        return msgspec.structs.replace(given, url=ready.url, model=ready.model)
    return given


async def _or_failure(work: Coroutine[Any, Any, None], supervisor: Supervisor) -> None:
    """Wait for the run; a service that cannot start at all ends the wait with its own message."""
    assert supervisor.failure is not None
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, supervisor.failure}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            supervisor.failure.result()
        await task
    finally:
        task.cancel()


def _shown(folder: Path) -> Path:
    """As one would type it from here."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _print_end(summary: Summary, folder: Path) -> None:
    folder = _shown(folder)
    if summary.best:
        b = summary.best
        slower = "" if b.speedup > 1.0 else "nothing faster than eager; "
        print(f"\n{slower}best: {b.speedup:.2f}x of eager ({b.low:.2f} to {b.high:.2f}), {folder / 'best.py'}")
    else:
        cause = f": {summary.cause}" if summary.cause else ""
        print(f"\nno valid kernel (ended by {summary.reason}{cause})")
    print(f"report: {folder / 'report.md'}")
