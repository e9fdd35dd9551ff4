"""A worker whose bus takes no more for a while: it waits, keeps its job, and what it found counts once."""
from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from common.bus import StreamFull, patient
from common.devices import Device
from common.judge import JudgeFault
from common.messages import AttemptFailed, AttemptStarted, Job, Judgement, Message, Outcome, Stage, Verdict
from common.worker import device as device_module
from common.worker.device import Devices
from common.worker.pull import Worker
from common.worker.settings import WorkerSettings
from tests.facts import TASK, judgement

JOB = Job(
    stage=Stage.VALIDATE, priority=0, run="r", iteration=1, candidate="c1", attempt=1, issued_at=0.0, requested_at=0.0,
    deadline=1e12, device="cpu", task=TASK, source="class ModelNew: pass",
)


class FullBus:
    """Refuses each message twice before it is stored."""

    name = "worker-1"

    def __init__(self) -> None:
        self.stored: list[Message] = []
        self.ids: list[str | None] = []
        self._lease_refusals = 2

    async def record(self, message: Message, *, msg_id: str | None = None) -> int:
        self.ids.append(msg_id)
        if len(self.ids) % 3:
            raise StreamFull("no room")
        self.stored.append(message)
        return len(self.stored)

    async def emit(self, message: Message) -> None:
        pass

    async def history(self, pattern: str) -> list[Any]:
        return []

    def table(self, bucket: str) -> Any:
        async def get(key: str) -> None:
            return None

        return SimpleNamespace(get=get)

    @asynccontextmanager
    async def lease(self, key: str, holder: str) -> Any:
        if self._lease_refusals:
            self._lease_refusals -= 1
            raise StreamFull("no room")
        yield SimpleNamespace(revision=7, lost=asyncio.Event())


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> FullBus:
    monkeypatch.setattr(patient, "FULL_WAIT", 0.0)
    monkeypatch.setattr(device_module, "FULL_WAIT", 0.0)
    return FullBus()


async def see_through(bus: Any, answer: Judgement | JudgeFault) -> list[Message]:
    """One job by a worker whose judge answers so when it compiles; what was stored before the job was acknowledged."""
    async def compile(task: object, source: str) -> Judgement:
        if isinstance(answer, JudgeFault):
            raise answer
        return answer

    judge: Any = SimpleNamespace(compile=compile)
    before: list[Message] = []

    async def done() -> None:
        before.extend(bus.stored)

    task: Any = SimpleNamespace(delivery_count=1, done=done)
    await Worker(bus, Stage.VALIDATE, judge, (), WorkerSettings())._handle(task, JOB)
    return before


async def test_a_result_waits_for_room_and_is_stored_before_its_job_is_acknowledged(bus: FullBus) -> None:
    stored = await see_through(bus, judgement(Outcome.COMPILE_ERROR))
    assert [type(message) for message in stored] == [AttemptStarted, Verdict]
    assert len(set(bus.ids)) == 2 and None not in bus.ids, "one id for all tries: what was stored unheard stays one"


async def test_a_failed_attempt_is_told_once_there_is_room(bus: FullBus) -> None:
    stored = await see_through(bus, JudgeFault("the judge's process died"))
    assert [type(message) for message in stored] == [AttemptStarted, AttemptFailed]


async def test_a_lease_that_cannot_be_written_is_waited_for(bus: Any) -> None:
    device = Device(id="cpu-0", kind="cpu", cores=(0,))
    devices = Devices(bus, Stage.VALIDATE, (device,), poll=0.0)
    devices._roles = {"cpu-0": (Stage.VALIDATE,)}
    async with devices.hold(JOB) as (held, lease):
        assert (held, lease.revision) == (device, 7)
