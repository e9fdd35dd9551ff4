"""An iteration that is driven from where its facts leave it."""
from __future__ import annotations

import asyncio

from common.bus import Bus
from common.messages import CandidateSettled, GenerationEnded, GenerationStarted, Llm, Outcome, Stage
from generator.accept import judge_result
from generator.generations import Generations
from generator.iteration import IterationDriver
from generator.log import RunLog
from generator.replicas import Replicas
from generator.settings import GeneratorSettings
from tests.facts import Log, judgement, result

AWAY = "http://127.0.0.1:9"


def driver(bus: Bus, log: Log) -> IterationDriver:
    """Of the open iteration; its endpoint is away."""
    settings, inbox = GeneratorSettings(), asyncio.Queue[object]()
    replicas = Replicas(Llm(url=AWAY, model="m"), settings)
    generations = Generations(bus, replicas, settings, log.state.run, len(log.state.iterations), inbox)
    return IterationDriver(RunLog(bus, log.state), generations, inbox, settings.forks_per_iteration)


async def test_a_result_that_a_former_generator_accepted_and_did_not_settle_is_settled(bus: Bus) -> None:
    log = Log()
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.proposed("c1")
    verdict = result(Stage.VALIDATE, "c1", judgement(Outcome.WRONG_VALUES))
    log.draft(judge_result(log.state, verdict, Stage.VALIDATE, 1))
    log.record(GenerationEnded, iteration=1, generation="main", reason="finished")
    end = await driver(bus, log).drive()
    assert end.reason == "answered"
    settled = log.state.candidates["c1"].settled
    assert isinstance(settled, CandidateSettled) and (settled.outcome, settled.fate) == ("wrong_values", "counted")
