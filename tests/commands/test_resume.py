"""What a run that goes on is asked to be: all that its submission said."""
from __future__ import annotations

import msgspec

from common.commands.resume import _submission
from common.messages import RunStarted, RunSubmitted
from tests.facts import Log


def test_a_run_goes_on_with_all_that_was_asked_of_it() -> None:
    start: RunStarted = msgspec.structs.replace(  # type: ignore[assignment]
        Log().facts[0], campaign="patient", weight=2.5, priority=3, stop="never", drain_seconds=7.0, device="cuda"
    )
    again = _submission(start)
    asked = [name for name in RunSubmitted.__struct_fields__ if name != "at"]
    assert [getattr(again, name) for name in asked] == [getattr(start, name) for name in asked]
    assert (again.campaign, again.weight, again.priority) == ("patient", 2.5, 3)
    assert again.at > start.at
