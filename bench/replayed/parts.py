"""The parts of the benchmark on one engine, each with services, proxy and compile cache of its own."""
from __future__ import annotations

import argparse
import os
import time
from functools import partial
from typing import Any

from bench.engine.client import Client
from bench.engine.gpu import Report
from bench.engine.server import server, until_idle
from bench.replayed import hosts, runs
from bench.replayed.cache import without_kernels
from bench.replayed.figures import figures, pool
from bench.replayed.gpus import sampled, utilisation
from bench.replayed.play import play
from bench.replayed.player import Player
from bench.replayed.proxy import ForcingProxy
from bench.replayed.runs import Recorded
from bench.replayed.warm import warm_up
from common.devices import DeviceSettings
from common.judge.settings import JudgeSettings
from common.settings import load
from common.system import make_plan
from generator.replay.listen import listen
from generator.replay.script import full_text

ENDING = 25.0
"""Seconds of a part for ending its runs, its services and for counting."""

LOG_CHARS = 1_500
"""Of each log, its end, for a host that nobody can look at afterwards."""


async def with_engine(
    report: Report, options: argparse.Namespace, recorded: list[Recorded], devices: DeviceSettings
) -> dict[str, Any]:
    """Every part in turn, each with its share of the time that is left. NotStarted where the engine does not start."""
    began, cache = time.monotonic(), load("judge", JudgeSettings).cache_folder
    host, env = hosts.engine(options)
    try:
        async with server(host, options.out / "vllm.log", env) as client:
            started = round(time.monotonic() - began, 1)
            await warm_up(client, [full_text(one.iteration(1)) for one in recorded])
            for left, part in zip(range(len(options.parts), 0, -1), options.parts, strict=True):
                os.environ["SPECGEN_JUDGE_CACHE"] = str(without_kernels(cache, options.out / part / "cache"))
                limit = report.left() / left
                await report.part(part, limit, partial(_part, part, limit, client, options, recorded, devices))
            return {"start_seconds": started, "vllm": await _version(client)}
    finally:
        report.parts["logs"] = {
            str(log.relative_to(options.out)): log.read_text(errors="replace")[-LOG_CHARS:]
            for log in (options.out / "vllm.log", *options.out.glob("*/logs/*.log")) if log.exists()
        }


async def _version(client: Client) -> str | None:
    async with client.session.get(f"{client.url}/version") as answer:
        return str((await answer.json())["version"]) if answer.status == 200 else None


async def _part(
    part: str, seconds: float, client: Client, options: argparse.Namespace, recorded: list[Recorded],
    devices: DeviceSettings,
) -> dict[str, Any]:
    """One part's figures: all recordings as runs, with forks or without."""
    until = time.monotonic() + seconds - ENDING
    folder = options.out / part
    player = Player(client, [one.recording for one in recorded])
    plan = make_plan(
        folder, state_dir=folder / "state", device=devices.kind, validators=options.validators,
        profilers=options.profilers, extra=hosts.pools(options, devices, folder / "specgen.toml"),
    )
    async with ForcingProxy(client.url, player, salt=part) as proxy, sampled() as samples:
        runner, url = await listen(proxy.app())
        try:
            asked = [runs.submitted(options, one, part, url, devices) for one in recorded]
            played = await play(plan, asked, warm=options.warm_seconds, until=until)
        finally:
            await runner.cleanup()
    await until_idle(client)
    words = {(one.run, n): its.iteration(n) for one, its in zip(asked, recorded, strict=True)
             for n in range(1, its.iterations + 1)}
    lengths = {key: await player.length(iteration) for key, iteration in words.items()}
    texts = {key: full_text(iteration) for key, iteration in words.items()}
    found = figures(played, lengths, texts) | {"gpus": utilisation(samples), "refused": proxy.refused}
    return found | ({"kv": pool(played.events)} if options.kv else {})
