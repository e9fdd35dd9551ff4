"""The service around its runs: how many it takes, and that it ends when it is asked to."""
from __future__ import annotations

import asyncio

import pytest

from common.bus import LEASES, Bus
from common.errors import UsageError
from common.messages import Budget, Llm, RunSubmitted
from common.settings import load
from generator.service import serve
from generator.settings import GeneratorSettings
from tests.facts import TASK


def test_a_generator_that_may_drive_no_run_is_refused() -> None:
    with pytest.raises(UsageError, match="concurrent_runs must be at least 1"):
        load("generator", GeneratorSettings, env={"SPECGEN_GENERATOR_CONCURRENT_RUNS": "0"})


async def test_one_that_drives_all_it_may_ends_when_asked(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECGEN_GENERATOR_CONCURRENT_RUNS", "1")
    llm = Llm(url="http://127.0.0.1:9", model="m")
    await bus.record(RunSubmitted(run="full", at=0.0, task=TASK, budget=Budget(iterations=1), llm=llm))
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(bus, stop))
    async with asyncio.timeout(30):
        async with bus.table(LEASES).watch("run.full") as leases:
            await anext(aiter(leases))
        stop.set()
        await serving
