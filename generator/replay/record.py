"""`specgen record`: a proxy before a real endpoint that writes a recording of what passes."""
from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from common.errors import UsageError
from common.logs import configure
from common.task import read_task
from generator.llm.http import base_url
from generator.replay.announce import announce
from generator.replay.listen import listen, port
from generator.replay.proxy import Proxy
from generator.replay.write import Writer

NAME = "record"
HELP = "sit before an LLM endpoint and write a recording that the replay endpoint plays"
EXAMPLES = """\
  specgen record --upstream http://127.0.0.1:8000 --task task.py --out my-recording --port 8001
  specgen run task.py --llm http://127.0.0.1:8001 --stop never    # in another terminal
  specgen run task.py --replay my-recording"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--upstream", required=True, metavar="URL", help="the endpoint to record")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new or empty folder for the recording")
    parser.add_argument("--task", type=Path, metavar="TASK.py", help="the task of the run: kept with the recording, "
                        "which then answers no prompt without it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port, default=0, help="0 takes any free port")
    parser.add_argument("--ready-file", type=Path, metavar="PATH", help="write the ready line here as well")


def run(args: argparse.Namespace) -> int:
    """Until SIGINT or SIGTERM; then 0."""
    upstream = base_url(args.upstream)
    if not upstream.startswith(("http://", "https://")):
        raise UsageError(f"--upstream {args.upstream} is no address: write http://HOST:PORT")
    task = read_task(args.task).source if args.task is not None else None
    configure("record")
    asyncio.run(_serve(args, upstream, Writer(args.out, task)))
    return 0


async def _serve(args: argparse.Namespace, upstream: str, writer: Writer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Proxy(upstream, writer) as proxy:
        try:
            runner, url = await listen(proxy.app(), args.host, args.port)
        except OSError as error:
            raise UsageError(f"cannot listen on {args.host}:{args.port}: {error.strerror}") from None
        try:
            announce(args.ready_file, url=url, upstream=upstream)
            await stop.wait()
        finally:
            await runner.cleanup()

