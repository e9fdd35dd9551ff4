"""Kernels that run on while their process is frozen.

Contexts take turns on a device, so that such a kernel would make the reference's calls as slow as two. Whether anybody
has work for the device is told by the filler, before each turn of the reference's, when nobody should.
"""
from __future__ import annotations

import time

from common.judge.faults import JudgeFault
from common.judge.lane.candidate import Candidate
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.filler import Filler
from common.messages.judgement import Feedback, Outcome

HELD_UP = 4.0
"""Times as long as the fastest: clocks differ by less than 2, a context's turn is some ten products long. A busy host
may hold up one now and then, but not one every few milliseconds for long."""
_BEFORE_SECONDS, _PATIENCE_SECONDS, _TEARDOWN_SECONDS = 0.5, 2.0, 2.0
"""A process that ends, or one that prepares for the next candidate, is at work for a moment. The shorter the last, the
seldomer is load of others' that just then comes to its end taken for the candidate's."""


class Lingering:
    """Of one measurement; to be made before the candidate's code is loaded. Where the device is at work for others even
    then, nothing can be told, and nobody is accused."""

    def __init__(self, filler: Filler) -> None:
        self._filler = filler
        self._tells = not self._stays_busy(_BEFORE_SECONDS)

    def check(self, candidate: Candidate) -> None:
        """Of a frozen candidate, which is ended where the device does not fall idle. CandidateEnded (`cheated`) where
        the device does so then, JudgeFault where it does not."""
        if not self._tells or not self._stays_busy(_PATIENCE_SECONDS):
            return
        candidate.kill()
        if self._stays_busy(_TEARDOWN_SECONDS):
            raise JudgeFault("the device is at work for somebody else, so that nothing can be timed on it")
        raise CandidateEnded(
            Outcome.CHEATED, Feedback(summary="its kernels run on when its calls are over, and slow the reference's")
        )

    def _stays_busy(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._busy():
            if time.monotonic() > deadline:
                return True
        return False

    def _busy(self) -> bool:
        return self._filler.held_up() > HELD_UP
