"""Serving an application until its runner is cleaned up."""
from __future__ import annotations

import argparse

from aiohttp import web

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request: a long prompt as token ids."""


def port(text: str) -> int:
    """A port's number on a command line."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"{number} is no port: they end at 65535")
    return number


async def listen(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> tuple[web.AppRunner, str]:
    """The runner, which ends it, and the URL; port 0 takes any free one. OSError where it cannot listen there.

    A handler whose client leaves is cancelled, which aborts its generation.
    """
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, f"http://{host}:{runner.addresses[0][1]}"
