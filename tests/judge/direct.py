"""The trusted side's own classes against a real zygote, for tests that must see what a judge process sees."""
from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from common.judge import JudgeSettings
from common.judge.client import Zygote
from common.judge.lane.candidate import Candidate
from common.judge.lane.serve import Bench
from common.judge.requests import Setup
from common.judge.sandbox import bwrap
from common.judge.settings import sandbox_off


@asynccontextmanager
async def bench_for(settings: JudgeSettings, kind: str = "cpu") -> AsyncIterator[Bench]:
    """A bench as a judge process has it, in this process."""
    zygote = await Zygote.start(kind)
    connection: socket.socket = zygote.connect()
    off = sandbox_off()
    bench = Bench(Setup(settings=settings, kind=kind, isolated=not off, bwrap=bwrap.find()), connection)
    try:
        yield bench
    finally:
        bench.spares.close()
        connection.close()
        await zygote.close()


@contextmanager
def candidate_on(bench: Bench, cores: tuple[int, ...], role: str = "cpu") -> Iterator[Candidate]:
    spare = bench.spares.take(role, 0, cores)
    candidate = Candidate(spare, bench.settings, bench.builder.get)
    try:
        candidate.await_ready()
        yield candidate
    finally:
        candidate.close()
        bench.spares.give_back(spare)
