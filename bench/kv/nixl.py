"""Blocks moved between two processes by NIXL's UCX backend, on this host: `python -m bench.kv.nixl`.

Pools of kind `nixl` stand on this (`kvstore/memory/agent.py`); here the library alone, as far as it runs without a
fabric: 64 KiB blocks of host memory in one transfer, by what UCX picks of shared memory and TCP. It needs the extra
`nixl`.
One JSON document.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

BLOCK = 65_536


def agent(name: str) -> Any:
    from nixl_cu12._api import nixl_agent, nixl_agent_config  # type: ignore[import-not-found] # noqa: PLC0415

    return nixl_agent(name, nixl_agent_config(backends=["UCX"]))


def content(blocks: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(7).integers(0, 256, blocks * BLOCK, dtype=np.uint8)


def serve(blocks: int) -> None:
    """The owner: registers its memory, says where it is, and does nothing more until its stdin ends."""
    memory, owner = content(blocks), agent("owner")
    owner.register_memory([(memory.ctypes.data, memory.nbytes, 0, "")], "DRAM")
    print(json.dumps({"address": memory.ctypes.data, "metadata": owner.get_agent_metadata().hex()}), flush=True)
    sys.stdin.read()


def fetch(blocks: int, repeats: int) -> dict[str, object]:
    command = [sys.executable, "-m", "bench.kv.nixl", "--serve", "--blocks", str(blocks)]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None and owner.stdin is not None
    try:
        told = next((line for line in owner.stdout if line.startswith('{"address"')), None)
        if told is None:
            raise RuntimeError(f"the owner ended with {owner.wait()}")
        return _fetch(json.loads(told), blocks, repeats)
    finally:
        owner.stdin.close()
        owner.wait(30)


def _fetch(told: dict[str, Any], blocks: int, repeats: int) -> dict[str, object]:
    memory, peer = np.zeros(blocks * BLOCK, dtype=np.uint8), agent("peer")
    peer.register_memory([(memory.ctypes.data, memory.nbytes, 0, "")], "DRAM")
    name = peer.add_remote_agent(bytes.fromhex(told["metadata"]))
    ours, theirs = (
        peer.get_xfer_descs([(base + n * BLOCK, BLOCK, 0) for n in range(blocks)], "DRAM")
        for base in (memory.ctypes.data, told["address"])
    )
    taken = []
    for _ in range(repeats + 1):
        memory[:] = 0
        since = time.perf_counter()
        transfer = peer.initialize_xfer("READ", ours, theirs, name)
        state = peer.transfer(transfer)
        while state == "PROC":
            state = peer.check_xfer_state(transfer)
        taken.append(time.perf_counter() - since)
        if state != "DONE":
            raise RuntimeError(f"the transfer ended as {state}")
        peer.release_xfer_handle(transfer)
    seconds = statistics.median(taken[1:])
    return {
        "blocks": blocks, "bytes": memory.nbytes, "right": bool(np.array_equal(memory, content(blocks))),
        "first_seconds": taken[0], "seconds": seconds, "bytes_s": memory.nbytes / seconds,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="be the owner's process")
    parser.add_argument("--blocks", type=int, default=1_024)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    try:
        import nixl_cu12  # type: ignore[import-not-found] # noqa: F401, PLC0415
    except ImportError as error:
        print(f"nixl: cannot be imported ({error}): pip install nixl-cu12", file=sys.stderr)
        return 2
    if args.serve:
        serve(args.blocks)
    else:
        print(json.dumps(fetch(args.blocks, args.repeats)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
