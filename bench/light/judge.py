"""A judge that waits in place of working. It holds devices, is cancelled and fails like the real one."""
from __future__ import annotations

import asyncio
import os
from pathlib import Path

from bench.light.candidate import plan_of
from common.devices import Device
from common.judge import Artefact, JudgeFault
from common.messages import Feedback, Judgement, Measurement, Outcome, TaskSource

PAIRS = 10


class LightJudge:
    """`broken` is a file with the names of devices that do not answer, read at every job."""

    def __init__(self, broken: Path | None = None) -> None:
        self._broken = broken

    async def compile(self, task: TaskSource, source: str) -> Artefact | Judgement:
        plan = plan_of(source)
        await asyncio.sleep(plan.compile)
        if plan.outcome == Outcome.COMPILE_ERROR:
            return _judgement(Outcome.COMPILE_ERROR, compile=plan.compile)
        return Artefact(source=source, seconds={"compile": plan.compile})

    async def validate(self, task: TaskSource, artefact: Artefact, device: Device) -> Judgement:
        plan = plan_of(artefact.source)
        await self._use(device, plan.validate)
        return _judgement(Outcome(plan.outcome), compile=plan.compile, check=plan.validate)

    async def profile(self, task: TaskSource, artefact: Artefact, device: Device, *, bar: float = 0.0) -> Judgement:
        plan = plan_of(artefact.source)
        await self._use(device, plan.profile)
        measured = Measurement(
            speedup=plan.speedup, low=plan.speedup, high=plan.speedup, confidence=0.95, candidate_ms=1.0,
            reference_ms=plan.speedup, pairs=PAIRS,
        )
        return _judgement(Outcome.PASSED, measured, time=plan.profile)

    async def _use(self, device: Device, seconds: float) -> None:
        if self._broken and self._broken.exists() and device.id in self._broken.read_text().split():
            raise JudgeFault(f"{device.id} does not answer", quarantine=True)
        await asyncio.sleep(seconds)


def _judgement(outcome: Outcome, measured: Measurement | None = None, **seconds: float) -> Judgement:
    feedback = Feedback(summary=str(outcome))
    return Judgement(
        outcome=outcome, feedback=feedback, measurement=measured, seconds=seconds, record={"pid": os.getpid()}
    )
