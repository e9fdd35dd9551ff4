"""A real NATS server for tests, supervised by a loop in a thread of its own, so that any test loop may use it."""
from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from common.bus import BusSettings, Server, start_server


@contextmanager
def running_server(settings: BusSettings) -> Iterator[Server]:
    """The server, restarted when it is killed, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="nats-supervisor")
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(start_server(settings), loop).result(60)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
