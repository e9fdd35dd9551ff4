"""Several runs' events added up by campaign."""
from __future__ import annotations

import msgspec

from common.messages import GenerationEnded, GenerationStarted, LeaseReleased, LeaseTaken, RunStarted, Stage
from common.report.campaigns import ledgers
from common.report.events import started
from common.report.tally import Tally
from tests.facts import Log


def tally_of(run: str, campaign: str, weight: float, tokens: int, seconds: float) -> Tally:
    log = Log()
    log.iteration()
    log.record(GenerationStarted, iteration=1, generation="main", kind="main")
    log.record(GenerationStarted, iteration=1, generation="f1", kind="fork", parent="main", at_token=1)
    log.record(GenerationEnded, iteration=1, generation="f1", reason="finished", answer_tokens=5)
    log.record(GenerationEnded, iteration=1, generation="main", reason="finished", reasoning_tokens=tokens)
    log.proposed("c1")
    facts = [msgspec.structs.replace(fact, run=run) for fact in log.facts]
    start = msgspec.structs.replace(started(facts), campaign=campaign, weight=weight)
    assert isinstance(start, RunStarted)
    tally = Tally(start)
    held = {"device": "d", "worker": "w", "stage": Stage.VALIDATE, "lease": 1}
    for event in [*facts, LeaseTaken(**held, at=1.0, run=run, iteration=1, candidate="c1"),
                  LeaseReleased(**held, at=9.0, seconds=seconds)]:
        tally.add(event)
    return tally


def test_runs_of_a_campaign_are_added_up_and_others_kept_apart() -> None:
    found = ledgers([
        tally_of("a", "team", 1.0, 100, 2.0), tally_of("b", "", 1.0, 300, 4.0), tally_of("c", "team", 2.0, 10, 0.5),
    ])
    assert [(c.campaign, c.runs, c.weight, c.candidates) for c in found] == [("b", 1, 1.0, 1), ("team", 2, 2.0, 2)]
    assert [(c.main_tokens, c.fork_tokens, c.device_seconds) for c in found] == [(300, 5, 4.0), (110, 10, 2.5)]
    assert all(c.best is None for c in found), "nothing was measured"
