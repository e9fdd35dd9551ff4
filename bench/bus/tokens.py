"""The token path: many generations stream tokens from one process to a reader in another.

Latency is from the call of `emit` to the decoded message in the reader's hands, by one machine's clock.
"""
from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import msgspec

from bench.bus.stats import latency_ms
from common.bus import Bus, BusSettings, Follower, Listener
from common.messages import TokenDelta

_TICK = 0.005
_PATIENCE = 20.0
"""Seconds after the sender ended in which the rest must arrive."""
PATTERN = "specgen.v1.tok.bench.>"


class Load(msgspec.Struct, frozen=True):
    """How much is sent: `streams` generations of `rate` tokens a second each, one token a message."""

    streams: int
    rate: float
    seconds: float

    @property
    def messages(self) -> int:
        return int(self.streams * self.rate * self.seconds)


async def measure(settings: BusSettings, load: Load, *, stored: bool) -> dict[str, Any]:
    """Read what a second process sends: live (core) or, `stored`, in order from the memory stream."""
    async with await Bus.connect("bench-reader", settings) as bus:
        reader = bus.follow(PATTERN, since="new") if stored else bus.listen(PATTERN)
        async with reader as feed:
            sender = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.bus.tokens", encode(settings), encode(load), stdout=asyncio.subprocess.PIPE
            )
            latencies: list[float] = []
            reading = asyncio.create_task(_read(feed, load.messages, latencies))
            output, _ = await sender.communicate()
            await asyncio.wait((reading,), timeout=_PATIENCE)
            reading.cancel()
        dropped = feed.dropped if isinstance(feed, Listener) else 0
    sent = msgspec.json.decode(output)
    took, busy = await reading if not reading.cancelled() and reading.done() else (0.0, 0.0)
    return {
        "messages": load.messages, "read": len(latencies), "dropped": sent["dropped"] + dropped,
        "messages_per_second": round(len(latencies) / took) if took else None, "latency_ms": latency_ms(latencies),
        "reader_core_share": round(busy / took, 3) if took else None, "sender_core_share": sent["core_share"],
    }  # fmt: skip


async def _read(feed: Listener | Follower, count: int, latencies: list[float]) -> tuple[float, float]:
    """Read until every message came or was dropped; wall and processor seconds since the first."""
    began, cpu = 0.0, 0.0
    async for delivery in feed:
        assert isinstance(delivery.message, TokenDelta)
        latencies.append(time.time() - delivery.message.at)
        if len(latencies) == 1:
            began, cpu = time.monotonic(), time.process_time()
        if len(latencies) + (feed.dropped if isinstance(feed, Listener) else 0) >= count:
            break
    return time.monotonic() - began, time.process_time() - cpu


async def send(settings: BusSettings, load: Load) -> dict[str, Any]:
    """Send at the load's pace, whatever is due every few milliseconds."""
    async with await Bus.connect("bench-sender", settings) as bus:
        began, cpu, sent = time.monotonic(), time.process_time(), 0
        while sent < load.messages:
            due = min(load.messages, int((time.monotonic() - began) * load.streams * load.rate))
            for n in range(sent, due):
                await bus.emit(delta(n % load.streams, n // load.streams))
            sent = due
            await asyncio.sleep(_TICK)
        await bus.barrier()
        share = (time.process_time() - cpu) / (time.monotonic() - began)
        return {"core_share": round(share, 3), "dropped": bus.dropped}


def delta(stream: int, seq: int) -> TokenDelta:
    return TokenDelta(
        run="bench", iteration=1, generation=f"g{stream}", seq=seq, at=time.time(), first_token=seq, token_ids=(seq,),
        first_char=4 * seq, text=" tok", channel="reasoning",
    )  # fmt: skip


def encode(value: msgspec.Struct) -> str:
    """For an argument; a token never goes there, the reader's announcement file holds it."""
    if isinstance(value, BusSettings):
        value = msgspec.structs.replace(value, url=None, token=None)
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    where, how_much = msgspec.json.decode(sys.argv[1], type=BusSettings), msgspec.json.decode(sys.argv[2], type=Load)
    print(msgspec.json.encode(asyncio.run(send(where, how_much))).decode())
