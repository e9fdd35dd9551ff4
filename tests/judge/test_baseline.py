"""torch.compile as a second baseline: compiled for real in the sandbox, beside the eager figure, not instead of it."""
from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from common.devices import Device
from common.judge import Artefact, Judge, JudgeSettings
from common.messages import Judgement, Outcome, TaskSource
from common.report.evidence import against_compiled
from tests.judge.sources import EAGER, TASK

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comparing(judge_settings: JudgeSettings) -> AsyncIterator[Judge]:
    settings = msgspec.structs.replace(judge_settings, compile_baseline=True, time_seconds=0.5)
    async with Judge(settings, "cpu") as started:
        yield started


async def profiled(judge: Judge, task: TaskSource, device: Device) -> Judgement:
    artefact = await judge.compile(task, EAGER)
    assert isinstance(artefact, Artefact)
    return await judge.profile(task, artefact, device)


async def test_a_compiled_model_is_a_second_baseline(comparing: Judge, small: TaskSource, device: Device) -> None:
    profile = await profiled(comparing, small, device)
    assert profile.outcome is Outcome.PASSED, profile.feedback
    found = profile.record["compile_baseline"]
    assert "absent" not in found, found
    assert 0 < found["low"] <= found["speedup"] <= found["high"]
    assert found["pairs"] >= 8 and found["compiled_ms"] > 0
    assert profile.measurement is not None
    assert f"{profile.measurement.speedup:.2f}x eager" in profile.feedback.summary, "the figure remains eager's"
    assert "x of torch.compile in its default mode" in against_compiled(found)
    assert profile.seconds["baseline"] > 0


async def test_a_task_that_cannot_be_compiled_says_why_and_loses_nothing(comparing: Judge, device: Device) -> None:
    away = "import torch._inductor.config as inductor\ninductor.cpp.cxx = ('no-such-compiler',)\n"
    profile = await profiled(comparing, TaskSource(name="without", source=TASK + away), device)
    assert profile.outcome is Outcome.PASSED and profile.measurement is not None, profile.feedback
    found = profile.record["compile_baseline"]
    assert "compiler" in found["absent"].lower() and "speedup" not in found
    assert "the reference's process" in found["absent"], "not the kernel's failure"
    assert "no figure against torch.compile" in against_compiled(found)


async def test_nobody_who_did_not_ask_waits_for_a_compiler(judge: Judge, small: TaskSource, device: Device) -> None:
    assert "compile_baseline" not in (await profiled(judge, small, device)).record
