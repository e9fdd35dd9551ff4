"""A spare that dies before it is ready: by itself, or with the zygote, without which a judge process is of no use."""
from __future__ import annotations

from typing import Any, cast

import pytest

from common.judge import JudgeSettings
from common.judge.faults import JudgeFault, ProcessUnusable
from common.judge.lane.candidate import Candidate
from common.judge.lane.spares import Spare


class Dying:
    """`lost`: nobody has told how it ended, as its control socket is found to say when the end is waited for."""

    def __init__(self, lost: bool) -> None:
        self._lost = lost
        self.lost = False

    def wait_readable(self, deadline: float) -> None:
        raise EOFError

    def await_exit(self, seconds: float) -> None:
        self.lost = self._lost

    def read_log(self) -> str:
        return "no memory"


@pytest.mark.parametrize("lost", [False, True])
def test_only_a_spare_that_went_with_the_zygote_ends_the_judges_process(lost: bool) -> None:
    candidate = Candidate(cast(Spare, Dying(lost)), JudgeSettings(), cast(Any, None))
    with pytest.raises(JudgeFault, match="no memory") as caught:
        candidate.await_ready()
    assert isinstance(caught.value, ProcessUnusable) is lost
