"""Many hostile candidates one after the other: each gets an outcome, nothing is left, and the next honest one passes.

The long form runs a thousand; the gate a sample by seed.
"""
from __future__ import annotations

import os
import random

import msgspec
import pytest

from common.devices import Device
from common.judge import Artefact, Judge, JudgeSettings
from common.messages import Outcome, TaskSource
from tests.judge.hostile import hostile
from tests.judge.sources import EAGER
from tests.judge.traces import traces

SEED = int(os.environ.get("SOAK_SEED", "20260"))
FAILED = {Outcome.RUNTIME_ERROR, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.WRONG_VALUES, Outcome.WRONG_SHAPE}


async def run(settings: JudgeSettings, task: TaskSource, device: Device, seeds: list[int]) -> None:
    tight = msgspec.structs.replace(
        settings, memory_mib=768, processes=64, tmp_mib=32, load_seconds=3.0, call_seconds=3.0,
    )
    before = traces()
    async with Judge(tight, "cpu") as judge:
        for number, seed in enumerate(seeds):
            verdict = await judge.validate(task, Artefact(source=hostile(seed)), device)
            assert verdict.outcome in FAILED, (seed, verdict.outcome, verdict.feedback)
            if number % 10 == 9:
                honest = await judge.validate(task, Artefact(source=EAGER), device)
                assert honest.outcome is Outcome.PASSED, (seed, honest)
    assert traces() == before


async def test_a_sample_of_hostile_candidates(
    judge_settings: JudgeSettings, small: TaskSource, device: Device
) -> None:
    await run(judge_settings, small, device, random.Random(SEED).sample(range(1000), 50))


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_a_thousand_hostile_candidates(
    judge_settings: JudgeSettings, small: TaskSource, device: Device
) -> None:
    await run(judge_settings, small, device, list(range(1000)))
