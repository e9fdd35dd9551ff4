"""What a vLLM server says about its load, out of its Prometheus text. Pure but for `fetch`."""
from __future__ import annotations

import re

import aiohttp
import msgspec

_LINE = re.compile(r"^vllm:(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)
_SECONDS = 2.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Counters count from the engine's start."""

    running: int
    """Requests being computed."""
    waiting: int
    """Requests that wait for a place."""
    cache_usage: float
    """Share of the KV cache in use, 0 to 1; the fullest engine's where there are several."""
    prefix_queries: int
    """Prompt tokens looked up in the prefix cache."""
    prefix_hits: int
    """Of these, tokens found."""
    preemptions: int
    """Running requests that were set back for want of cache."""

    @property
    def hit_rate(self) -> float:
        return self.prefix_hits / self.prefix_queries if self.prefix_queries else 0.0


def parse(text: str) -> Load | None:
    """None where the text holds no vLLM metrics. Several engines behind one server are summed up."""
    found: dict[str, list[float]] = {}
    for name, value in _LINE.findall(text):
        found.setdefault(name, []).append(float(value))
    if "num_requests_running" not in found:
        return None

    def total(name: str) -> int:
        return int(sum(found.get(name, [])))

    return Load(
        running=total("num_requests_running"), waiting=total("num_requests_waiting"),
        cache_usage=max(found.get("kv_cache_usage_perc", []), default=0.0),
        prefix_queries=total("prefix_cache_queries_total"), prefix_hits=total("prefix_cache_hits_total"),
        preemptions=total("num_preemptions_total"),
    )


async def fetch(session: aiohttp.ClientSession, url: str) -> Load | None:
    """The load of the server at `url` now; None where it does not answer or tells none."""
    try:
        async with session.get(f"{url}/metrics", timeout=aiohttp.ClientTimeout(total=_SECONDS)) as response:
            return parse(await response.text()) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None
