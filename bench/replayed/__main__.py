"""Both parts in one call: `python -m bench.replayed --model DIR`, or `--tiny` on a CPU; docs/engine.md says more.

The result is printed as JSON, and written to $OUT/replayed.json after each part where OUT is set. The exit code is 0
where every part was played as it should be.
"""
from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.engine.gpu import Report
from bench.examples import host
from bench.replayed import hosts, runs
from bench.replayed.installed import declare
from bench.replayed.options import parse
from bench.replayed.parts import with_engine
from common.errors import UsageError
from common.logs import configure


async def main() -> int:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    declare(options.out / "installed")
    configure("replayed", default="warning")
    out = Path(os.environ["OUT"]) if os.environ.get("OUT") else options.out
    report = Report(out / "replayed.json", options.seconds)
    recorded, devices = runs.read(options), hosts.prepare(options)
    report.parts["host"] = host(devices.kind) | {"command": " ".join(sys.argv)}
    with tempfile.TemporaryDirectory(prefix="kv-") as sockets:  # a socket's path has at most 107 bytes
        options.sockets = sockets
        await report.part("engine", options.seconds, lambda: with_engine(report, options, recorded, devices))
    report.parts["compared"] = compared(report.parts)
    report.write()
    print(json.dumps(report.parts))
    return int(any(map(wrong, report.parts.values())))


def wrong(part: dict[str, Any]) -> bool:
    """It failed, a timing was not alone on its device, or other words were said than those recorded."""
    found = part.get("result", {})
    overlaps = found.get("judge", {}).get("overlaps", 0)
    return "error" in part or overlaps > 0 or not found.get("said_as_recorded", True)


def compared(parts: dict[str, Any]) -> dict[str, Any]:
    """Off over on, where both played everything to its end."""
    off, on = (parts.get(name, {}).get("result") for name in ("off", "on"))
    if not off or not on or any(run["reason"] != "iterations" for part in (off, on) for run in part["runs"]):
        return {}
    return {"speedup": round(off["seconds"] / on["seconds"], 3),
            "tokens": round((on["main_tokens"] + on["fork_tokens"]) / off["main_tokens"], 3)}


if __name__ == "__main__":
    try:
        raise SystemExit(asyncio.run(main()))
    except UsageError as error:
        print(f"replayed: {error}", file=sys.stderr)
        raise SystemExit(2) from None
