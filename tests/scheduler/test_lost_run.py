"""A run whose lease is lost goes on, also where the generator that lost it is the only one."""
from __future__ import annotations

import asyncio
from pathlib import Path

from bench.light.system import light_system, worker
from common.bus import LEASES, Bus, BusSettings
from common.messages import PREFIX, GenerationStarted, Stage
from common.supervise import python_service
from tests.pipeline.recordings import write_recording
from tests.pipeline.replay import replay
from tests.scheduler.accounts import check
from tests.scheduler.test_chaos import SETTINGS, ended, kernel, submissions


async def test_a_run_whose_lease_is_lost_goes_on(tmp_path: Path) -> None:
    workers = [worker(stage, ["d0", "d1"], name=str(stage), env={}) for stage in Stage]
    settings = BusSettings(state_dir=str(tmp_path / "state"), lease_seconds=2.0)
    task, recording = write_recording(tmp_path, [([], "passed")], rate=400, kernel=kernel)
    services = [python_service("generator"), python_service("trigger"), *workers]
    with replay(recording) as url:
        async with light_system(tmp_path, services, env=SETTINGS, bus=settings, ready=2) as system:
            submitted = submissions(task, url, 1, iterations=1)[0]
            await system.bus.record(submitted, expect_new=True)
            await _thinking(system.bus, submitted.run)
            await system.bus.table(LEASES).delete(f"run.{submitted.run}")
            facts = await ended(system, submitted.run, 120.0)
    assert check(facts).reason == "iterations"
    begun = [f for f in facts if isinstance(f, GenerationStarted) and f.kind == "main"]
    assert len(begun) == 2, "it went on from the journal"


async def _thinking(bus: Bus, run: str) -> None:
    async with asyncio.timeout(60.0), bus.follow(f"{PREFIX}.evt.{run}.>") as feed:
        async for delivery in feed:
            if isinstance(delivery.message, GenerationStarted):
                return
