"""A worker whose judge is short of memory, beside a pool: whether it is asked again, and what counts."""
from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from common.background import background
from common.bus import Bus
from common.devices import Device
from common.judge import Artefact, JudgeFault
from common.messages import (
    PREFIX,
    Job,
    Judgement,
    Outcome,
    PoolShrunk,
    ReservationDecided,
    ReservationEnded,
    Stage,
    TaskOutgrew,
    TaskSource,
)
from common.worker.attempt import Attempt, AttemptFault
from common.worker.device import Devices
from tests.facts import judgement
from tests.kvstore.process import CPU, Process, events, eventually, fill, job, whole

Answer = Judgement | JudgeFault
SHORT = judgement(Outcome.REJECTED_TASK, short_of_memory=True, seconds={"task": 1.0})
FAULT = JudgeFault("the device has too little memory left for the judge", short_of_memory=True)
PASSED = judgement(seconds={"task": 2.0, "check": 4.0})


class Judges:
    """Stands for the judge: these answers, one after the other."""

    def __init__(self, *answers: Answer) -> None:
        self.left = list(answers)

    async def compile(self, task: object, source: str) -> Artefact:
        return Artefact(source=source, seconds={})

    async def validate(self, task: object, artefact: Artefact, device: Device) -> Judgement:
        answer = self.left.pop(0)
        if isinstance(answer, JudgeFault):
            raise answer
        return answer


class Worker:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.devices = Devices(bus, Stage.VALIDATE, (CPU,), 0.05)
        self.devices._roles = {CPU.id: (Stage.VALIDATE,)}

    async def judge(self, asked: Job, *answers: Answer) -> Judgement:
        """By one attempt, which needs all these answers. AttemptFault as it says."""
        judges = Judges(*answers)
        try:
            async with asyncio.timeout(60):
                attempt = Attempt(self._bus, judges, self.devices, Stage.VALIDATE)  # type: ignore[arg-type]
                return await attempt.run(asked, time.time())
        finally:
            assert judges.left == []


@pytest.fixture
def worker(bus: Bus) -> Worker:
    return Worker(bus)


async def asked_for(bus: Bus, *everything: bool) -> None:
    """These reservations were made since the test began, in this order, and what was granted is over."""
    async with asyncio.timeout(20):
        while not await over(bus, len(everything)):  # noqa: ASYNC110 - another process records them
            await asyncio.sleep(0.05)
    assert [decided.everything for decided in await events(bus, ReservationDecided)] == list(everything)


async def over(bus: Bus, asked: int) -> bool:
    """A question that was repeated while the pool denied it is a reservation as well, and ends with the others."""
    decided = await events(bus, ReservationDecided)
    granted = {decision.id for decision in decided if decision.granted}
    return len(decided) >= asked and granted <= {ended.id for ended in await events(bus, ReservationEnded)}


@pytest.mark.parametrize("first", [SHORT, FAULT])
async def test_without_a_pool_the_first_answer_stands(worker: Worker, first: Answer) -> None:
    if isinstance(first, JudgeFault):
        with pytest.raises(AttemptFault, match="too little memory"):
            await worker.judge(job(), first)
    else:
        assert (await worker.judge(job(), first)).outcome is Outcome.REJECTED_TASK


@pytest.mark.parametrize(("first", "seconds"), [
    (SHORT, {"task": 3.0, "check": 4.0}), (FAULT, {"task": 2.0, "check": 4.0}),
])
async def test_a_job_that_was_short_is_judged_again_without_the_pool(
    bus: Bus, process: Process, worker: Worker, first: Answer, seconds: dict[str, float]
) -> None:
    judged = await worker.judge(job(), first, PASSED)
    assert (judged.outcome, judged.seconds) == (Outcome.PASSED, seconds)
    shrunk = await eventually(bus, PoolShrunk)
    assert (shrunk.chunks, shrunk.bytes, shrunk.reason) == (4, 0, "reserved")
    await asked_for(bus, False, True)


async def test_further_jobs_of_its_task_take_everything_from_the_start(
    bus: Bus, process: Process, worker: Worker
) -> None:
    """And are not judged again where that does not help."""
    await worker.judge(job(), SHORT, PASSED)
    assert (await worker.judge(job(), SHORT)).outcome is Outcome.REJECTED_TASK
    await worker.judge(msgspec.structs.replace(job(), task=TaskSource(name="t", source="other")), PASSED)
    await asked_for(bus, False, True, True, True, False)


async def test_other_workers_are_told_of_a_large_task(bus: Bus, process: Process, worker: Worker) -> None:
    mine, theirs = worker.devices.large, Worker(bus).devices.large
    other = TaskSource(name="other", source="other")
    async with background() as tasks, asyncio.timeout(20):
        tasks.start(theirs.follow())
        while other not in theirs:  # until it listens
            await mine.add(other, CPU)
            await asyncio.sleep(0.01)
        assert job().task not in theirs
        await worker.judge(job(), SHORT, PASSED)
        while job().task not in theirs:  # noqa: ASYNC110 - nothing says when a message was handled
            await asyncio.sleep(0.01)
    told = await eventually(bus, TaskOutgrew, lambda told: told.task == job().task.name)
    assert told.worker == bus.name


async def test_what_others_found_out_takes_everything_from_the_start(
    bus: Bus, process: Process, worker: Worker
) -> None:
    await Worker(bus).judge(job(), SHORT, PASSED)
    told = await eventually(bus, TaskOutgrew)
    worker.devices.large.learn(told.digest)
    await worker.judge(job(), PASSED)
    await asked_for(bus, False, True, True)


async def test_a_task_that_more_memory_did_not_help_is_not_remembered(
    bus: Bus, process: Process, worker: Worker
) -> None:
    """A candidate that asks for more than there is costs later ones no pool."""
    assert (await worker.judge(job(), SHORT, SHORT)).short_of_memory
    await worker.judge(job(), PASSED)
    await asked_for(bus, False, True, False)


async def test_a_second_fault_is_a_fault(bus: Bus, process: Process, worker: Worker) -> None:
    with pytest.raises(AttemptFault, match="died"):
        await worker.judge(job(), FAULT, JudgeFault("the judge's process died"))
    await asked_for(bus, False, True)


@pytest.mark.parametrize("fault", [
    JudgeFault("died"), JudgeFault("does not answer", quarantine=True, short_of_memory=True),
])
async def test_other_faults_are_not_tried_again(bus: Bus, process: Process, worker: Worker, fault: JudgeFault) -> None:
    with pytest.raises(AttemptFault, match=str(fault)):
        await worker.judge(job(), fault)
    await asked_for(bus, False)


async def test_where_the_pool_cannot_be_emptied_there_is_no_verdict(bus: Bus, process: Process, worker: Worker) -> None:
    """The next attempt waits for everything before it begins."""
    manager, peer = process.connect("manager"), process.connect("worker")
    assert len(fill(manager)) == 1
    asked = msgspec.structs.replace(job(), candidate="denied")
    with pytest.raises(AttemptFault, match="has not unmapped") as caught:
        await worker.judge(asked, SHORT)
    assert caught.value.device == CPU.id
    assert await bus.history(f"{PREFIX}.res.validate.{asked.run}.{asked.iteration}.denied") == []
    peer.close()
    manager.close()
    await whole(bus)
    assert (await worker.judge(asked, PASSED)).outcome is Outcome.PASSED
    await asked_for(bus, False, True, True)
    assert [shrunk.chunks for shrunk in await events(bus, PoolShrunk)] == [4, 4]
    assert len(await bus.history(f"{PREFIX}.res.validate.{asked.run}.{asked.iteration}.denied")) == 1
