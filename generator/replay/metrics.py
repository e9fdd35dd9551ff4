"""What a replay endpoint says about its load, under vLLM's names. Pure."""
from __future__ import annotations

from generator.replay.engine import Stats


def metrics(stats: Stats) -> str:
    """Prometheus text. Nothing ever waits for a place: a recording has one for everybody."""
    values = {
        "num_requests_running": stats.running_main + stats.running_forks,
        "num_requests_waiting": 0,
        "prefix_cache_queries_total": stats.prefix_queries,
        "prefix_cache_hits_total": stats.prefix_hits,
    }
    return "".join(f"vllm:{name} {value}\n" for name, value in values.items())
