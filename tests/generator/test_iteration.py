"""An iteration that is driven from where its facts leave it."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from common.bus import Bus, Delivery
from common.messages import CancelRun, CandidateSettled, GenerationEnded, GenerationStarted, Llm, Outcome, Stage
from generator.accept import judge_result
from generator.generations import Generations
from generator.inbox import Inbox
from generator.iteration import IterationDriver
from generator.log import RunLog
from generator.replicas import Replicas
from generator.settings import GeneratorSettings
from tests.facts import Log, judgement, result
from tests.llm.misbehaving import Server


@asynccontextmanager
async def driver(bus: Bus, log: Log) -> AsyncIterator[tuple[IterationDriver, Inbox]]:
    """Of the open iteration. Its endpoint was there once, and is away."""
    settings, inbox = GeneratorSettings(), Inbox()
    async with AsyncExitStack() as stack:
        async with Server() as server:
            replicas = await stack.enter_async_context(Replicas(Llm(url=server.url, model="m"), settings))
            await replicas.probe()
        generations = Generations(bus, replicas, settings, log.state.run, len(log.state.iterations), inbox)
        yield IterationDriver(RunLog(bus, log.state), generations, inbox, settings.forks_per_iteration), inbox


async def test_a_result_that_a_former_generator_accepted_and_did_not_settle_is_settled(bus: Bus) -> None:
    log = Log(run="settles")
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.proposed("c1")
    verdict = result(Stage.VALIDATE, "c1", judgement(Outcome.WRONG_VALUES))
    log.draft(judge_result(log.state, verdict, Stage.VALIDATE, 1))
    log.record(GenerationEnded, iteration=1, generation="main", reason="finished")
    async with driver(bus, log) as (driving, _):
        end = await driving.drive()
    assert end.reason == "answered"
    settled = log.state.candidates["c1"].settled
    assert isinstance(settled, CandidateSettled) and (settled.outcome, settled.fate) == ("wrong_values", "counted")


async def test_a_cancellation_ends_the_wait_for_an_endpoint(bus: Bus) -> None:
    log, cancel = Log(run="cancelled"), CancelRun(run="cancelled", at=0.0, reason="enough")
    log.iteration()
    async with asyncio.timeout(30), driver(bus, log) as (driving, inbox):
        task = asyncio.create_task(driving.drive())
        await asyncio.sleep(0.1)
        inbox.put_nowait(Delivery(cancel.subject(), cancel, 1, 0.0, caught_up=True, data=b""))
        end = await task
    assert (end.reason, end.cause) == ("cancelled", "enough")


async def test_so_does_the_end_of_the_budget(bus: Bus) -> None:
    log = Log(run="late", seconds=5.0)
    log.iteration()
    async with asyncio.timeout(30), driver(bus, log) as (driving, _):
        end = await driving.drive()
    assert (end.reason, end.cause) == ("budget", "seconds")
