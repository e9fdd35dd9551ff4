"""One judge and one cache of built modules for all kept kernels of a device."""
from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import torch

from common.devices import Device
from common.judge import Judge, JudgeSettings
from common.settings import load


@pytest.fixture(scope="package", autouse=True)
def one_thread_for_small_tensors() -> Iterator[None]:
    """For the judge's own processes: on a busy machine two threads mostly wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def judge_settings() -> JudgeSettings:
    """Small limits, so that bombs go off early."""
    return load(
        "judge", JudgeSettings, load_seconds=60.0, call_seconds=10.0, time_seconds=1.0, pairs=16,
        memory_mib=2048, processes=128, tmp_mib=128, secret_uses=1_000, pairs_most=60,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cpu_judge(judge_settings: JudgeSettings) -> AsyncIterator[Judge]:
    async with Judge(judge_settings, "cpu") as judge:
        yield judge


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cuda_judge(judge_settings: JudgeSettings) -> AsyncIterator[Judge]:
    async with Judge(judge_settings, "cuda") as judge:
        yield judge


@pytest.fixture(scope="session")
def cpu_device() -> Device:
    return Device(id="cpu-0", kind="cpu", cores=(max(os.sched_getaffinity(0)),), name="cpu")


@pytest.fixture(scope="session")
def cuda_device() -> Device:
    cores = tuple(sorted(os.sched_getaffinity(0)))
    return Device(id="gpu-0", kind="cuda", cores=cores, index=0, name=torch.cuda.get_device_name(0))
