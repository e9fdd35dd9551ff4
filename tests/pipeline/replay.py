"""A replay endpoint for tests, as a process of its own."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replay(recording: Path, *, rate: float | None = None, port: int = 0) -> Iterator[str]:
    """Its address, until the block ends."""
    command = [sys.executable, "-m", "generator.replay", "--recording", str(recording), "--port", str(port)]
    if rate is not None:
        command += ["--rate", str(rate)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
    finally:
        process.kill()
        process.wait()
