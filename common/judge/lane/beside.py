"""What is measured beside the figure: where it fails the record says why, and nothing else changes."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from common.judge.faults import JudgeFault, ProcessUnusable
from common.judge.lane.ended import CandidateEnded


def or_absent(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the work finds, or the reason under `absent`.

    JudgeFault only where the device or this process is no longer fit for use.
    """
    try:
        return work()
    except CandidateEnded as ended:
        return {"absent": f"the kernel failed: {ended.feedback.summary}"}
    except JudgeFault as fault:
        if fault.quarantine or isinstance(fault, ProcessUnusable):
            raise
        return {"absent": fault.reason.splitlines()[0]}
