"""What storing costs the host while requests decode, by the tokens stored at once: `python -m bench.kv.storing`.

Four forks of one prefix decode side by side, 1,024 tokens each, with an engine's decisions and messages and without
its model: no step takes time. One JSON document, a line each for `store_tokens` of 0 to 256. Host work alone: what the
copies themselves do to decoding only a GPU tells (`bench.kv.first_token`). At the end, how long a reservation takes
once the pool is full and every block evicts another.
"""
from __future__ import annotations

import argparse
import json
import time

from bench.kv.dry import CHUNKS, TOKENS, Dry, dry, keys
from kvstore.engine.holding import waits

FORKS, PROMPT = 4, 2_048
FULL = (1, 8, 128, 512)


def decode(engine: Dry, tokens: int, together: int, base: int) -> dict[str, object]:
    """All forks, a token each a step. Seconds and processor time are the engine's own thread's."""
    chains = [keys((PROMPT + tokens) // TOKENS, base + 10_000 * fork) for fork in range(FORKS)]
    offered = [PROMPT // TOKENS] * FORKS
    engine.sent.clear()
    engine.copier.launches = jobs = 0
    wall = cpu = 0.0
    copying, service = engine.copying_seconds(), engine.service_seconds()
    for computed in range(PROMPT + 1, PROMPT + tokens + 1):
        since, since_cpu = time.perf_counter(), time.thread_time()
        full, granted = computed // TOKENS, []
        for fork, chain in enumerate(chains):
            if full > offered[fork] and not waits(
                computed=computed, prompt=PROMPT, offered=offered[fork], block=TOKENS, together=together
            ):
                granted.append(engine.tier.reserve(f"{base}-{fork}", chain[offered[fork] : full]).slots)
                offered[fork] = full
        started = [engine.submit("store", slots) for slots in granted]
        engine.transfers.finished()
        wall, cpu = wall + time.perf_counter() - since, cpu + time.thread_time() - since_cpu
        jobs += len(started)
        engine.transfers.wait(started)
    all_tokens = tokens * FORKS
    return {
        "blocks_together": together, "tokens": all_tokens, "jobs": jobs, "launches": engine.copier.launches,
        "messages": dict(engine.sent), "engine_us_a_token": wall / all_tokens * 1e6,
        "engine_cpu_us_a_token": cpu / all_tokens * 1e6,
        "copying_cpu_us_a_token": (engine.copying_seconds() - copying) / all_tokens * 1e6,
        "service_cpu_us_a_token": (engine.service_seconds() - service) / all_tokens * 1e6,
        "missing_blocks_at_most": together - 1,
    }


def full_pool(engine: Dry) -> dict[int, float]:
    """Seconds of a reservation of so many blocks, the least of three."""
    base = 10**9
    while not engine.pool.ask("status")["evicted"]:
        engine.store(keys(512, base))
        base += 512
    found = {}
    for count in FULL:
        taken = []
        for _ in range(3):
            names, base = keys(count, base), base + count
            since = time.perf_counter()
            granted = engine.tier.reserve("full", names)
            taken.append(time.perf_counter() - since)
            engine.run("store", granted.slots)
        found[count] = min(taken)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_024)
    args = parser.parse_args()
    with dry() as engine:
        engine.store(keys(64, 5 * 10**8))
        lines = [
            {"store_tokens": at_once, **decode(engine, args.tokens, max(1, at_once // TOKENS), 10**6 * (n + 1))}
            for n, at_once in enumerate((0, 32, 64, 128, 256))
        ]
        print(json.dumps({"decoding": lines, "chunks": CHUNKS, "reserve_in_full_pool_seconds": full_pool(engine)}))


if __name__ == "__main__":
    main()
