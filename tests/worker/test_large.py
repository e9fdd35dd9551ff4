"""Which tasks a worker remembers as large."""
from __future__ import annotations

from typing import cast

from common.bus import Bus
from common.messages import TaskSource
from common.worker.large import LargeTasks


def task(source: str, name: str = "t") -> TaskSource:
    return TaskSource(name=name, source=source)


def test_a_task_is_its_source_and_the_last_few_are_remembered() -> None:
    large = LargeTasks(cast(Bus, None), most=2)
    for source in ("a", "b", "a", "c"):
        large.learn(task(source).digest)
    assert [task(source, "another name") in large for source in "abc"] == [True, False, True]
