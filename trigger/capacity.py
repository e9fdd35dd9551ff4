"""How many jobs the workers take at once, from their heartbeats."""
from __future__ import annotations

from common.messages import Message, WorkerBeat, WorkerLeft

BEAT_LIMIT = 10.0
"""Seconds without a beat after which a worker is taken for gone."""


class Capacity:
    """Mutable, with one owner."""

    def __init__(self) -> None:
        self._workers: dict[str, tuple[float, int]] = {}

    def fold(self, message: Message) -> None:
        match message:
            case WorkerBeat():
                self._workers[message.worker] = (message.at, message.slots)
            case WorkerLeft():
                self._workers.pop(message.worker, None)

    def places(self, now: float) -> int | None:
        """Jobs taken at once, all workers together; None where none is heard of."""
        slots = [slots for at, slots in self._workers.values() if now - at <= BEAT_LIMIT]
        return sum(slots) if slots else None
