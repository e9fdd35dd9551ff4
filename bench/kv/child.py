"""Starting a pool beside a benchmark and speaking with it."""
from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kvstore.engine.transfers import Transfers


class PoolChild:
    """`events` collects what the pool tells unasked."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.kv.pool", "--socket", str(folder / "pool.sock"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self._answer("up")

    def ask(self, do: str, **more: object) -> dict[str, Any]:
        print(json.dumps({"do": do, **more}), file=self._stdin, flush=True)
        return self._answer(do)

    def wait_chunks(self, chunks: int, seconds: float = 30.0) -> dict[str, Any]:
        """Until the pool has grown; RuntimeError where it does not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.ask("status")
            if status["chunks"] >= chunks:
                return status
            time.sleep(0.01)
        raise RuntimeError(f"the pool has {status['chunks']} of {chunks} chunks: {status}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """As a crash would: kill -9."""
        self._process.kill()
        self._process.wait(30)

    def end(self) -> None:
        """A forked engine may hold the other end of its stdin open: then it is told by a signal."""
        if self._process.poll() is None:
            self._stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(30)

    def _answer(self, do: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found.get("answer") == do:
                return found
            self.events.append(found)
        raise RuntimeError(f"the pool ended with {self._process.wait()} before it answered {do}")

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin


def reached(transfers: Transfers, seconds: float = 30.0) -> Transfers:
    """Once the pools have welcomed its worker: before that they promise its engine nothing. RuntimeError where they
    do not."""
    end = time.monotonic() + seconds
    while not transfers.connected():
        if time.monotonic() > end:
            raise RuntimeError("no pool has welcomed the worker: see the log")
        time.sleep(0.001)
    return transfers


@contextmanager
def pool_child(folder: Path, *arguments: str) -> Iterator[PoolChild]:
    child = PoolChild(folder, *arguments)
    try:
        yield child
    finally:
        child.end()
