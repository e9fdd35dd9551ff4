"""Runs `lookup.py` in a process of its own and takes its result."""
from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from bench.engine.plugin import write_plugin
from common.errors import SpecgenError
from common.supervise import Service
from common.supervise.process import signal_group, start
from generator.engine.arguments import environment
from generator.engine.complaint import complaint
from generator.engine.settings import EngineSettings

_TINY = {"enforce_eager": True, "block_size": 32}
_LARGE = {"load_format": "dummy", "dtype": "bfloat16", "gpu_memory_utilization": 0.35}


class LookupFailed(SpecgenError):
    """With the engine's own words."""


async def measure_lookup(
    model: Path, recorded: Path, proposed: str, logs: Path, *, seconds: float, tiny: bool, python: str = sys.executable
) -> dict[str, Any]:
    """What `lookup.py` prints for these numbers of proposed tokens; it begins none after `seconds`. LookupFailed."""
    log = logs / f"lookup-{proposed}.log"
    sizes = ("--context", "8192", "--answers", "2") if tiny else ("--context", "16384", "--answers", "5")
    line = (
        python, "-m", "bench.engine.lookup", "--model", str(model), "--recorded", str(recorded), "--proposed",
        proposed, "--engine", json.dumps(_TINY if tiny else _LARGE), "--seconds", str(seconds), *sizes,
    )
    env = environment(EngineSettings(kv_gib=1), cpu=tiny, local=True) | write_plugin(logs / "plugin")
    process = await start(Service("lookup", line, {**os.environ, **env}), log)
    try:
        code = await process.wait()
    finally:
        signal_group(process, signal.SIGKILL)
        await process.wait()
    said = log.read_text(errors="replace")
    if code != 0:
        raise LookupFailed(f"{complaint(said, code)}; its log ends:\n{said[-2000:]}")
    result: dict[str, Any] = json.loads(said[said.rindex('{"start_seconds"') :].splitlines()[0])
    return result
