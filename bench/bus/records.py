"""Durable records: awaited one by one and many at once; and how long a kill -9 of the server is felt."""
from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from bench.bus.stats import latency_ms
from common.bus import Bus, Server
from common.messages import RunEnded

CONCURRENT = 64


def fact(n: int) -> RunEnded:
    return RunEnded(run="bench", n=n, at=0.0, reason="iterations", cause="x" * 200)


async def measure(bus: Bus, count: int) -> dict[str, Any]:
    one, one_took = await _timed(bus, count, 1)
    many, many_took = await _timed(bus, count, CONCURRENT)
    return {
        "one_by_one": {"per_second": round(count / one_took), "latency_ms": latency_ms(one)},
        f"{CONCURRENT}_at_once": {"per_second": round(count / many_took), "latency_ms": latency_ms(many)},
    }


async def _timed(bus: Bus, count: int, lanes: int) -> tuple[list[float], float]:
    latencies: list[float] = []

    async def lane() -> None:
        for n in range(count // lanes):
            began = time.monotonic()
            await bus.record(fact(n))
            latencies.append(time.monotonic() - began)

    began = time.monotonic()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return latencies, time.monotonic() - began


async def recovery(bus: Bus, server: Server, kills: int) -> dict[str, Any]:
    """Seconds from kill -9 of the server to the next record that is stored."""
    waits = []
    for n in range(kills):
        began = time.monotonic()
        os.kill(server.pid, signal.SIGKILL)
        await bus.record(fact(n))
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.3)
    return {"kills": kills, "until_stored_ms": latency_ms(waits)}
