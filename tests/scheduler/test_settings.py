"""The scheduler's limits against those of the judge, whose settings it does not see."""
from __future__ import annotations

from common.judge.settings import JudgeSettings
from scheduler.settings import SchedulerSettings


def test_an_attempt_may_take_what_the_judge_allows_so_that_the_judge_says_what_was_too_slow() -> None:
    judge = JudgeSettings()
    stage = max(judge.validate_seconds, judge.profile_seconds + judge.counters_seconds)
    assert SchedulerSettings().attempt_seconds > judge.build_seconds + stage
