"""What is counted of a part, from events of every kind."""
from __future__ import annotations

from typing import Any

import pytest

from bench.replayed.__main__ import compared, wrong
from bench.replayed.figures import figures, said_as_recorded
from bench.replayed.gpus import utilisation
from bench.replayed.play import Played
from common.messages import (
    CandidateSettled,
    EngineMeasured,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    LeaseReleased,
    LeaseTaken,
    Outcome,
    ResultAccepted,
    RunEnded,
    Stage,
)
from tests.facts import Log, judgement


def leased(stage: Stage, number: int, since: float, until: float) -> list[Any]:
    of = {"device": "gpu", "worker": "w", "stage": stage, "lease": number}
    return [
        LeaseTaken(at=since, run="r", iteration=1, candidate="c1", **of),
        LeaseReleased(at=until, seconds=until - since, **of),
    ]


def load(at: float, running: int) -> EngineMeasured:
    return EngineMeasured(
        run="r", at=at, running=running, waiting=0, cache_usage=0.1, prefix_queries=0, prefix_hits=0, preemptions=0
    )


def stopped_run() -> Log:
    """Ten seconds: a fork's kernel is proposed after 2, right after 4, measured after 8, and then stops the rest."""
    log = Log(iterations=1)
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.record(GenerationStarted, iteration=1, generation="f1", kind="fork", at_token=3)
    log.now = 102.0
    log.proposed("c1", origin="fork", generation="f1")
    log.record(
        GenerationEnded, iteration=1, generation="f1", reason="finished", answer_tokens=20, prompt_tokens=100,
        cached_tokens=96, candidate="c1",
    )
    for now, stage, speedup in ((104.0, Stage.VALIDATE, None), (108.0, Stage.PROFILE, 2.0)):
        log.now = now
        log.record(
            ResultAccepted, iteration=1, candidate="c1", stage=stage, attempt=1, sequence=1, worker="w", device="gpu",
            queue_seconds=0.0, judgement=judgement(speedup=speedup),
        )
    log.record(
        CandidateSettled, iteration=1, candidate="c1", outcome=Outcome.PASSED, fate="counted", speedup=2.0,
        entered_H=True,
    )
    log.now = 110.0
    log.record(IterationEnded, iteration=1, reason="stopped", cause="c1", H=(2.0,))
    log.record(GenerationEnded, iteration=1, generation="main", reason="aborted", reasoning_tokens=300)
    log.record(RunEnded, reason="iterations", best="c1")
    return log


def counted(*more: Any) -> dict[str, Any]:
    events = [*stopped_run().facts, *more]
    played = Played(runs={"r": events}, events=events, said={("r", 1): "We tile"})
    return figures(played, {("r", 1): 1_000}, {("r", 1): "We tile it."})


def test_every_number_of_a_stopped_run() -> None:
    found = counted(
        *leased(Stage.VALIDATE, 1, 102.0, 104.0), *leased(Stage.PROFILE, 2, 104.0, 108.0), load(100.0, 1),
        load(105.0, 3), load(110.0, 0),
    )
    assert (found["seconds"], found["wall_seconds"], found["iterations"]) == (10.0, 10.0, 1)
    assert (found["main_tokens"], found["fork_tokens"], found["forks"]) == (300, 20, 1)
    assert (found["candidates"], found["validated"], found["profiled"]) == (1, 1, 1)
    assert (found["stops"], found["saved_tokens_by_stops"]) == (1, 700)
    assert found["forks_cached"] == {"forks": 1, "prompt_tokens": 100, "cached_tokens": 96, "share": 0.96}
    assert found["judge"]["busy_shares"] == {"gpu": {"validate": 0.2, "profile": 0.4}}
    assert (found["judge"]["leases"], found["judge"]["timings"], found["judge"]["overlaps"]) == (2, 1, 0)
    assert (found["engine"]["busy_share"], found["engine"]["mean_running"]) == (1.0, 2.0)
    [run] = found["runs"]
    assert (run["first_candidate_seconds"], run["first_valid_seconds"], run["best_seconds"]) == (2.0, 4.0, 8.0)
    assert found["said_as_recorded"] is True and not wrong({"result": found})


def test_a_timing_beside_another_lease_is_seen() -> None:
    found = counted(*leased(Stage.VALIDATE, 1, 102.0, 106.0), *leased(Stage.PROFILE, 2, 105.0, 108.0))
    assert found["judge"]["overlaps"] == 1 and found["engine"] == {} and wrong({"result": found})


@pytest.mark.parametrize("said", [{}, {("r", 1): "We tile", ("r", 2): "Wrong"}])
def test_other_words_or_none_are_seen(said: dict[tuple[str, int], str]) -> None:
    assert not said_as_recorded(said, {("r", 1): "We tile it.", ("r", 2): "We do not."})


def test_parts_are_compared_where_both_ended_by_themselves() -> None:
    off = {"seconds": 30.0, "main_tokens": 100, "fork_tokens": 0, "runs": [{"reason": "iterations"}]}
    on = {"seconds": 20.0, "main_tokens": 60, "fork_tokens": 50, "runs": [{"reason": "iterations"}]}
    assert compared({"off": {"result": off}, "on": {"result": on}}) == {"speedup": 1.5, "tokens": 1.1}
    cut = on | {"runs": [{"reason": "seconds"}]}
    assert compared({"off": {"result": off}, "on": {"result": cut}}) == compared({"off": {"error": "x"}}) == {}


def test_a_gpu_is_busy_where_anything_ran() -> None:
    assert utilisation({0: [0, 50, 100, 50], 1: []}) == {"0": {"samples": 4, "mean": 0.5, "busy": 0.75}}
