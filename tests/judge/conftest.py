"""One judge for a module of tests, and the task and device they share."""
from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from common.devices import Device
from common.judge import Judge, JudgeSettings
from common.messages import TaskSource
from common.settings import load
from tests.judge.sources import TASK


@pytest.fixture(scope="session")
def judge_settings() -> JudgeSettings:
    return load("judge", JudgeSettings, memory_mib=1024, call_seconds=10.0, time_seconds=2.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def judge(judge_settings: JudgeSettings) -> AsyncIterator[Judge]:
    async with Judge(judge_settings, "cpu") as started:
        yield started


@pytest.fixture(scope="session")
def task() -> TaskSource:
    return TaskSource(name="gated", source=TASK)


@pytest.fixture(scope="session")
def small() -> TaskSource:
    """The same on small tensors, for what needs no time to be seen."""
    source = TASK.replace("rows = 512", "rows = 24").replace("features = 768", "features = 40")
    return TaskSource(name="small", source=source)


@pytest.fixture(scope="session")
def device() -> Device:
    return Device(id="cpu-0", kind="cpu", cores=(max(os.sched_getaffinity(0)),), name="cpu")
