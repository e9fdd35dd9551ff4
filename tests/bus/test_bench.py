"""The benchmark of the bus runs and says what it measured."""
from __future__ import annotations

import asyncio
import json
import os
import sys

from tests.bus.test_work import ROOT


async def test_benchmark_prints_one_json_object() -> None:
    small = ["--streams", "8", "--seconds", "0.2", "--records", "128", "--jobs", "5", "--kills", "1"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bus", *small, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    result = json.loads(output)
    assert result["token_path"]["live"]["read"] + result["token_path"]["live"]["dropped"] == 32
    assert result["token_path"]["from_memory_stream"]["read"] == 32
    for queue in ("by_priority", "one_queue"):
        assert result["dispatch"][queue]["urgent_jobs"] == 5
