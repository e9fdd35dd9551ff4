"""Run compilers, each in a sandbox of its own (or bare, where the operator switched it off), until a deadline."""
from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from common.judge.child import jail
from common.judge.sandbox import bwrap

_FILE_LIMIT = 4 << 30
_MEMORY_LIMIT = 16 << 30
_TEXT_LIMIT = 200_000


@dataclass(frozen=True)
class Ran:
    code: int
    text: str
    timed_out: bool = False


class Compilers:
    """At most `jobs` compilers at once. `stop` ends all that run and lets no more begin until `allow`."""

    def __init__(self, program: str | None, jobs: int, seconds: float) -> None:
        self._program = program
        self._seconds = seconds
        self._jobs = threading.Semaphore(max(1, jobs))
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def run(self, words: list[str], folder: Path, readable: list[Path], *, background: bool = False) -> Ran:
        """Paths in `words` are relative to `folder`, or inside of `readable`. In the background `stop` spares it."""
        command = bwrap.compiler(self._program, folder, readable, words) if self._program else words
        with self._jobs if not background else nullcontext():
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=_limit_background if background else _limit,
            )
            if not background:
                with self._lock:
                    self._running.add(process)
            try:
                return self._finish(process)
            finally:
                with self._lock:
                    self._running.discard(process)
                _kill(process)
                process.wait()

    def _finish(self, process: subprocess.Popen[bytes]) -> Ran:
        deadline = time.monotonic() + self._seconds
        try:
            output, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return Ran(-1, f"no end within {self._seconds:.0f} s", timed_out=True)
        return Ran(process.returncode, output[-_TEXT_LIMIT:].decode(errors="replace"))

    def stop(self) -> None:
        """End the compilers under way; from another thread."""
        with self._lock:
            for process in self._running:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _limit_background() -> None:
    _limit()
    os.nice(10)


def _limit() -> None:
    jail.die_with_parent(signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_LIMIT, _FILE_LIMIT))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    os.nice(5)
