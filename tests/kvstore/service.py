"""A pool service inside the test's process, on a socket, without a bus; and an engine's two sessions with it."""
from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kvstore.desk import Desk
from kvstore.geometry import Geometry, Space
from kvstore.line import Line
from kvstore.memory import make_owner
from kvstore.pool import Pool
from kvstore.server import Server
from kvstore.wire import Hello, Role

T = TypeVar("T")
GEOMETRY = Geometry(layout="test", dtype="float32", tokens=16, payload=1024)
SPACE = Space(model="m")
_firsts = itertools.count(1_000, 1_000)


class PoolService:
    """The service's loop runs in a thread of its own, so that blocking clients can be used in the test."""

    def __init__(self, path: Path, chunk_bytes: int) -> None:
        self.path = path
        self._loop = asyncio.new_event_loop()
        tags = itertools.count(1)
        self.pool = Pool(chunk_bytes, first=next(_firsts), tag=lambda: next(tags))
        self.desk = Desk("cpu", self.pool, make_owner("shm", ""), on_change=lambda: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="pool-service")

    def call(self, function: Callable[[], T]) -> T:
        """Run in the service's thread."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(30)

    def grow(self, chunks: int) -> None:
        for _ in range(chunks):
            self.call(self.desk.grow)

    def start(self) -> None:
        self._thread.start()
        self._server = Server(self.path, self.desk)
        asyncio.run_coroutine_threadsafe(self._server.__aenter__(), self._loop).result(30)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.__aexit__(), self._loop).result(30)
        self.call(self.desk.end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something; AssertionError where it does not come true in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.005)


@contextmanager
def pool_service(path: Path, *, chunks: int = 1, chunk_bytes: int = 64 * 1024) -> Iterator[PoolService]:
    service = PoolService(path, chunk_bytes)
    service.start()
    try:
        service.grow(chunks)
        yield service
    finally:
        service.stop()


def hello(role: Role, engine: str = "e", **changes: object) -> Hello:
    fields: dict[str, object] = {"role": role, "engine": engine, "space": SPACE, "geometry": GEOMETRY}
    return Hello(**(fields | changes))  # type: ignore[arg-type]


def connect(service: PoolService, role: Role, engine: str = "e", **changes: object) -> Line:
    return Line(service.path, hello(role, engine, **changes), timeout=10.0)
