"""What an attempt publishes of a candidate that compiled."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from common.devices import Device
from common.judge import Artefact
from common.messages import Job, Judgement, Message, Stage, Verdict
from common.worker.attempt import Attempt
from tests.facts import TASK, judgement

JOB = Job(
    stage=Stage.VALIDATE, priority=0, run="r", iteration=1, candidate="c1", attempt=1, issued_at=0.0, requested_at=0.0,
    deadline=1e12, device="cpu", task=TASK, source="class ModelNew: pass",
)


class Judges:
    """Stands for the judge: compiles for long, then finds the candidate right."""

    async def compile(self, task: object, source: str) -> Artefact:
        return Artefact(source=source, seconds={"spare": 0.5, "compile": 4.0})

    async def validate(self, task: object, artefact: Artefact, device: Device) -> Judgement:
        return judgement(seconds={"spare": 0.25, "check": 1.0})


class Holds:
    """Stands for the devices: one that is free."""

    @asynccontextmanager
    async def hold(self, job: Job) -> AsyncIterator[tuple[Device, Any]]:
        async def check() -> None:
            pass

        yield Device(id="cpu-0", kind="cpu", cores=(0,)), SimpleNamespace(
            revision=1, lost=asyncio.Event(), check=check
        )


async def test_the_seconds_of_a_verdict_are_those_of_compiling_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[Message] = []

    async def record(bus: object, message: Message) -> None:
        stored.append(message)

    monkeypatch.setattr("common.worker.attempt.record_patiently", record)
    bus, judge, devices = SimpleNamespace(name="w"), Judges(), Holds()
    await Attempt(bus, judge, devices, Stage.VALIDATE).run(JOB, 0.0)  # type: ignore[arg-type]
    [verdict] = stored
    assert isinstance(verdict, Verdict)
    assert verdict.judgement.seconds == {"spare": 0.75, "compile": 4.0, "check": 1.0}
