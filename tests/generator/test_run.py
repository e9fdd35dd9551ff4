"""A run from its submission to its end."""
from __future__ import annotations

from common.bus import Bus
from common.messages import PREFIX, Budget, CancelRun, Llm, RunEnded, RunSubmitted
from generator.run import drive_run
from generator.settings import GeneratorSettings
from tests.facts import TASK

AWAY = Llm(url="http://127.0.0.1:9", model="m")


async def test_what_was_asked_of_a_run_goes_when_it_has_ended(bus: Bus) -> None:
    for run in ("ends", "other"):
        await bus.record(CancelRun(run=run, at=0.0, reason="r"))
    submitted = RunSubmitted(run="ends", at=0.0, task=TASK, budget=Budget(iterations=1), llm=AWAY)
    await drive_run(bus, GeneratorSettings(endpoint_seconds=0.05), submitted)
    [*_, ended] = await bus.history(f"{PREFIX}.evt.ends.>")
    assert isinstance(ended.message, RunEnded)
    left = await bus.subjects(f"{PREFIX}.cmd.>")
    assert left == {f"{PREFIX}.cmd.other.cancel": 1}
