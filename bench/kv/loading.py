"""What loading a prefix costs the host, besides its copy: `python -m bench.kv.loading`.

For prefixes of 256 to 32,768 tokens: the look-up, the pins, and a load from its submission to its end by a copier that
copies nothing. One JSON document, seconds, the least of so many: host work, which others on the machine only lengthen.
"""
from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from bench.kv.dry import TOKENS, Dry, dry, keys
from kvstore.engine.slots import Slots

BLOCKS = (16, 128, 512, 1_024, 2_048)


def measure(engine: Dry, blocks: int, repeats: int) -> dict[str, object]:
    names = keys(blocks, 10**6 * blocks)
    engine.store(names)
    while engine.tier.find("l", names, 0) < blocks:
        time.sleep(0.001)
    engine.sent.clear()
    engine.copier.launches = 0
    engine.run("load", engine.tier.pin(names))
    messages, launches = dict(engine.sent), engine.copier.launches
    loads: list[Slots] = []
    return {
        "blocks": blocks, "tokens": blocks * TOKENS,
        "find": least(lambda: engine.tier.find("l", names, 0), repeats),
        "pin": least(lambda: loads.append(engine.tier.pin(names)), repeats),
        "load": least(lambda: engine.run("load", loads.pop()), repeats),
        "messages": messages, "launches": launches,
    }


def least(work: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        since = time.perf_counter()
        work()
        taken.append(time.perf_counter() - since)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    with dry() as engine:
        print(json.dumps({"loads": [measure(engine, blocks, args.repeats) for blocks in BLOCKS]}))


if __name__ == "__main__":
    main()
