"""The replay endpoint's command line."""
from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from common.errors import UsageError
from generator.replay.announce import announce
from generator.replay.engine import Engine
from generator.replay.listen import listen, port
from generator.replay.recording import Recording, load
from generator.replay.server import Dialect, Server
from generator.replay.traces import is_trace, load_trace

DESCRIPTION = "Serve a recording as an OpenAI-compatible endpoint until the process that started it ends."


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM, SIGINT or the parent's end, 2 where the arguments cannot be used."""
    args = _parser().parse_args(argv)
    try:
        recording = read_recording(args.recording)
        rate = _rate(args.rate, recording)
        if args.check:
            return 0
        asyncio.run(_serve(args, recording, rate))
    except UsageError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    return 0


def read_recording(name: str) -> Recording:
    """A recording by name: a directory, or a trace in a file (`FILE.jsonl.gz#TASK_ID`)."""
    return load_trace(name) if is_trace(name) else load(Path(name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m generator.replay", description=DESCRIPTION)
    parser.add_argument("--recording", required=True, metavar="PATH", help="directory, or FILE.jsonl.gz#TASK_ID")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port, default=0, help="0 takes any free port")
    parser.add_argument("--rate", type=float, help="tokens a second instead of the recording's own rate")
    parser.add_argument("--ready-file", type=Path, metavar="PATH", help="write the ready line here as well")
    parser.add_argument("--check", action="store_true", help="only say whether the recording can be played")
    parser.add_argument("--context", type=int, default=131_072, help="tokens of prompt and answer together")
    parser.add_argument("--chat-only", action="store_true", help="offer no completions and no tokens")
    parser.add_argument("--no-continue", action="store_true", help="do not continue an assistant's message")
    parser.add_argument(
        "--reasoning-field",
        default="reasoning_content",
        choices=("reasoning_content", "reasoning", ""),
        help="where a chat's reasoning goes; empty leaves it in the content, between markers",
    )
    return parser


def _rate(given: float | None, recording: Recording) -> float:
    if given is not None and not given > 0:
        raise UsageError("--rate must be above 0 tokens a second")
    return given or recording.rate


async def _serve(args: argparse.Namespace, recording: Recording, rate: float) -> None:
    parent = os.getppid()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    dialect = Dialect(
        chat_only=args.chat_only,
        continues=not args.no_continue,
        reasoning_field=args.reasoning_field,
        context=args.context,
    )
    try:
        runner, url = await listen(Server(recording, Engine(rate), dialect).app(), args.host, args.port)
    except OSError as error:
        raise UsageError(f"cannot listen on {args.host}:{args.port}: {error.strerror}") from None
    try:
        announce(args.ready_file, url=url, model=recording.model, rate=rate)
        await _until(stop, parent)
    finally:
        await runner.cleanup()


async def _until(stop: asyncio.Event, parent: int) -> None:
    while os.getppid() == parent:
        try:
            async with asyncio.timeout(0.5):
                await stop.wait()
            return
        except TimeoutError:
            continue
