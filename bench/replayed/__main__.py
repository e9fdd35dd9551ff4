"""Both parts in one call: `python -m bench.replayed --model DIR`, or `--tiny` on a CPU; docs/engine.md says more.

The result is printed as JSON, and written to $OUT/replayed.json after each part where OUT is set.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.engine.client import Client
from bench.engine.gpu import Report
from bench.engine.server import server, until_idle
from bench.examples import host
from bench.replayed import hosts, runs
from bench.replayed.cache import without_kernels
from bench.replayed.figures import figures
from bench.replayed.gpus import sampled, utilisation
from bench.replayed.installed import declare
from bench.replayed.options import parse
from bench.replayed.play import play
from bench.replayed.player import Player
from bench.replayed.proxy import ForcingProxy
from bench.replayed.runs import Recorded
from common.devices import DeviceSettings
from common.errors import UsageError
from common.judge.settings import JudgeSettings
from common.logs import configure
from common.settings import load
from common.system import make_plan
from generator.replay.listen import listen
from generator.replay.script import full_text

ENDING = 25.0
"""Seconds of a part for ending its runs, its services and for counting."""


async def main() -> int:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    declare(options.out / "installed")
    configure("replayed", default="warning")
    out = Path(os.environ["OUT"]) if os.environ.get("OUT") else options.out
    report = Report(out / "replayed.json", options.seconds)
    recorded, devices = runs.read(options), hosts.prepare(options)
    report.parts["host"] = host(devices.kind) | {"gpus": hosts.gpus(), "command": " ".join(sys.argv)}
    await report.part("engine", options.seconds, lambda: _with_engine(report, options, recorded, devices))
    report.parts["compared"] = compared(report.parts)
    report.write()
    print(json.dumps(report.parts))
    return int(any("error" in part for part in report.parts.values()))


async def _with_engine(
    report: Report, options: argparse.Namespace, recorded: list[Recorded], devices: DeviceSettings
) -> dict[str, Any]:
    began, cache = time.monotonic(), load("judge", JudgeSettings).cache_folder
    host_, env = hosts.engine(options)
    async with server(host_, options.out / "vllm.log", env) as client:
        started = round(time.monotonic() - began, 1)
        for left, part in zip(range(len(options.parts), 0, -1), options.parts, strict=True):
            os.environ["SPECGEN_JUDGE_CACHE"] = str(without_kernels(cache, options.out / part / "cache"))
            limit = report.left() / left
            await report.part(part, limit, lambda p=part, s=limit: _part(p, s, client, options, recorded, devices))  # type: ignore[misc]
        return {"start_seconds": started}


async def _part(
    part: str, seconds: float, client: Client, options: argparse.Namespace, recorded: list[Recorded],
    devices: DeviceSettings,
) -> dict[str, Any]:
    until = time.monotonic() + seconds - ENDING
    folder = options.out / part
    player = Player(client, [one.recording for one in recorded])
    plan = make_plan(
        folder, state_dir=folder / "state", device=devices.kind, validators=options.validators,
        profilers=options.profilers, extra=hosts.pools(options, devices),
    )
    async with ForcingProxy(client.url, player, salt=part) as proxy, sampled() as samples:
        runner, url = await listen(proxy.app())
        try:
            asked = [runs.submitted(options, one, part, url, devices) for one in recorded]
            played = await play(plan, asked, until=until)
        finally:
            await runner.cleanup()
    await until_idle(client)
    words = {(one.run, n): its.iteration(n) for one, its in zip(asked, recorded, strict=True)
             for n in range(1, its.iterations + 1)}
    lengths = {key: await player.length(iteration) for key, iteration in words.items()}
    texts = {key: full_text(iteration) for key, iteration in words.items()}
    return figures(played, lengths, texts) | {"gpus": utilisation(samples), "refused": proxy.refused}


def compared(parts: dict[str, Any]) -> dict[str, Any] | None:
    """Off over on, where both played everything to its end."""
    off, on = (parts.get(name, {}).get("result") for name in ("off", "on"))
    if not off or not on or any(run["reason"] != "iterations" for part in (off, on) for run in part["runs"]):
        return None
    return {"speedup": round(off["seconds"] / on["seconds"], 3),
            "tokens": round((on["main_tokens"] + on["fork_tokens"]) / off["main_tokens"], 3)}


if __name__ == "__main__":
    try:
        raise SystemExit(asyncio.run(main()))
    except UsageError as error:
        print(f"replayed: {error}", file=sys.stderr)
        raise SystemExit(2) from None
