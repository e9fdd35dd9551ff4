"""Hardware counters of a candidate, taken in a process of its own once the timing is over."""
from __future__ import annotations

from typing import Any

from common.judge import counters
from common.judge.lane.beside import or_absent
from common.judge.lane.desk import Desk
from common.judge.lane.serve import Bench
from common.judge.requests import Profile

_NOT_ASKED = "not asked for (SPECGEN_JUDGE_COUNTERS)"


def counters_of(bench: Bench, desk: Desk, request: Profile) -> dict[str, Any]:
    """For the record: the launches of one call, or under `absent` why there are none."""
    if not bench.settings.counters:
        return {"absent": _NOT_ASKED}
    return or_absent(lambda: _counted(bench, desk, request))


def _counted(bench: Bench, desk: Desk, request: Profile) -> dict[str, Any]:
    seconds = bench.settings.counters_seconds
    with desk.candidate(request.device) as candidate:
        counted = desk.count(candidate, request.task, request.artefact, seconds)
    launches = counters.parse(counted.text)
    return counters.record(launches) if launches else {"absent": counted.absent or "ncu counted no launch"}
