"""What commands read of a run."""
from __future__ import annotations

from typing import Any

from common.bus import Delivery
from common.commands.client import facts_of
from tests.facts import Log


class Stored:
    """Stands for the bus: a stream that holds a fact twice."""

    def __init__(self, log: Log) -> None:
        self._facts = [*log.facts, *log.facts[-1:]]

    async def history(self, pattern: str) -> list[Delivery]:
        return [Delivery(fact.subject(), fact, n, fact.at, True, b"") for n, fact in enumerate(self._facts, 1)]


async def test_a_fact_stored_twice_is_read_once() -> None:
    log = Log()
    log.iteration()
    bus: Any = Stored(log)
    assert await facts_of(bus, "r") == log.facts
