"""A pool in a process of its own, without a bus: `python -m bench.kv.pool --kind vmm --socket PATH`.

Commands come as JSON lines on stdin, answers go out as JSON lines: `{"do": "status"}`, `reserve` (with
`bytes`, and `quiet` to pause copies), `release`, `shrink` (with `chunks`). It ends with its stdin.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from common.background import background, first
from common.logs import configure
from common.messages import MemoryReserved, Message, ReserveMemory
from kvstore.budget import Limits
from kvstore.desk import Desk
from kvstore.keeper import Keeper
from kvstore.memory import make_owner
from kvstore.pool import Pool
from kvstore.reserve import Reservations
from kvstore.server import Server

MIB = 2**20


class Bench:
    def __init__(self, args: argparse.Namespace) -> None:
        self._wake = asyncio.Event()
        self._memory = make_owner(args.kind, args.device)
        limits = Limits(
            chunk=self._memory.round_up(args.chunk_mib * MIB), most=args.most_mib * MIB,
            headroom=args.headroom_mib * MIB, floor=0, idle=args.idle,
        )
        self._pool = Pool(limits.chunk, first=time.time_ns(), tag=lambda: secrets.randbits(63) | 1)
        self.desk = Desk(args.device or "cpu", self._pool, self._memory, self._wake.set)
        self._keeper = Keeper(self.desk, self._memory, limits, Reservations(args.patience))
        self._answers: dict[str, asyncio.Future[MemoryReserved]] = {}

    async def keep(self) -> None:
        while True:
            self._wake.clear()
            for message in self._keeper.turn(time.time()):
                self._tell(message)
            await first(self._wake, timeout=0.001 if self._keeper.urgent else 0.05)

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        since = time.perf_counter()
        answer = await self._do(command)
        return {"answer": command["do"], "seconds": time.perf_counter() - since} | answer

    async def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        what = command["do"]
        if what == "reserve":
            return await self._reserve(command)
        if what == "release":
            for message in self._keeper.release("bench", time.time()):
                self._tell(message)
            self._wake.set()
        elif what == "shrink":
            self.desk.shrink(command["chunks"])
            await self._until(lambda: not self._pool.leaving())
        return self._status()

    async def _until(self, true: Callable[[], bool]) -> None:
        """At most ten seconds; the status tells what is still missing then."""
        for _ in range(10_000):
            if true():
                return
            self._wake.set()
            await asyncio.sleep(0.001)

    async def _reserve(self, command: dict[str, Any]) -> dict[str, Any]:
        waiting = self._answers["bench"] = asyncio.get_running_loop().create_future()
        request = ReserveMemory(
            device=self.desk.device, id="bench", worker="bench", lease="none", job="bench", bytes=command["bytes"],
            quiet=command.get("quiet", False), until=time.time() + 600,
        )
        self._keeper.reserve(request, time.time())
        self._wake.set()
        answer = await waiting
        return self._status() | {"granted": answer.granted, "reason": answer.reason}

    def _status(self) -> dict[str, Any]:
        return {
            "chunks": len(self._pool.live()), "leaving": len(self._pool.leaving()), "blocks": self._pool.blocks(),
            "free": self._memory.free(), "peers": len(self.desk.workers()),
            "evicted": sum(d.evicted for d in self._pool.directories().values()),
            "stale": sum(d.stale for d in self._pool.directories().values()),
        }

    def _tell(self, message: Message) -> None:
        if isinstance(message, MemoryReserved):
            if message.id in self._answers:
                self._answers.pop(message.id).set_result(message)
            return
        say({"event": type(message).__name__, **msgspec.to_builtins(message)})


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


async def run(args: argparse.Namespace) -> None:
    bench = Bench(args)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Server(args.socket, bench.desk), background() as tasks:
        tasks.start(bench.keep())
        say({"answer": "up"})
        while line := await reader.readline():
            say(await bench.handle(json.loads(line)))
    bench.desk.end()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a KV pool to a benchmark.")
    parser.add_argument("--kind", choices=("shm", "vmm", "ipc"), default="vmm")
    parser.add_argument("--device", default="", help="the GPU's UUID")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--chunk-mib", type=int, default=256)
    parser.add_argument("--most-mib", type=int, default=16_384)
    parser.add_argument("--headroom-mib", type=int, default=0)
    parser.add_argument("--idle", type=float, default=0.0)
    parser.add_argument("--patience", type=float, default=2.0)
    configure("bench")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
