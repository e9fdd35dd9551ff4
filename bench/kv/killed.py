"""The owner of the pool dies by kill -9, and then another shrinks to nothing, while an engine has its memory mapped.

After both the engine answers the same prompt with the same token, computed again where its own cache was emptied.
"""
from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from bench.kv.child import PoolChild, pool_child
from bench.kv.first_token import ask, engine, prompt, settle
from bench.kv.gear import report, uuid
from kvstore.engine.config import transfer_config

TOKENS, CHUNKS = 8_192, 24


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    folder = Path(tempfile.mkdtemp(prefix="kv-"))
    arguments = ("--kind", "vmm", "--device", uuid(), "--most-mib", str(CHUNKS * 256))
    with pool_child(folder, *arguments) as pool:
        pool.wait_chunks(CHUNKS)
        llm = engine(json.loads(transfer_config(str(folder))))
        first = _stored(llm, 1)
        with_pool = _again(llm, 1, first)
        pool.kill()
        report("killed", with_pool=with_pool, after_kill=_again(llm, 1, first))
    with pool_child(folder, *arguments) as pool:
        pool.wait_chunks(CHUNKS)
        _reach(llm, pool)
        second = _stored(llm, 2)
        with_pool = _again(llm, 2, second)
        shrunk = pool.ask("shrink", chunks=CHUNKS)
        report("shrunk", with_pool=with_pool, shrunk=shrunk, after_shrinking=_again(llm, 2, second))


def _stored(llm: Any, seed: int) -> list[int]:
    _, ids, _ = ask(llm, prompt(TOKENS, seed), 4)
    settle(llm)
    return ids


def _again(llm: Any, seed: int, expected: list[int]) -> dict[str, object]:
    llm.reset_prefix_cache()
    seconds, ids, cached = ask(llm, prompt(TOKENS, seed), 4)
    return {"seconds": seconds, "cached": cached, "equal": ids == expected}


def _reach(llm: Any, pool: PoolChild, tries: int = 30) -> None:
    """Until the engine has found the new pool. RuntimeError where it does not."""
    for _ in range(tries):
        settle(llm)
        if pool.ask("status")["peers"]:
            return
    raise RuntimeError("the engine did not find the new pool")


if __name__ == "__main__":
    main()
