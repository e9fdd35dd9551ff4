"""A bus without room. A full disk refuses what a full stream would make room for, and no test fills a disk."""
from __future__ import annotations

from common.bus import Bus, StreamFull
from common.messages import Message


class Refusing(Bus):
    """Refuses the first message of every kind, and keeps the others."""

    def __init__(self) -> None:
        self.refused: list[Message] = []
        self.stored: list[Message] = []

    async def record(self, message: Message, *, msg_id: str | None = None, expect_new: bool = False) -> int:
        if type(message) not in map(type, self.refused):
            self.refused.append(message)
            raise StreamFull("no space left on device")
        self.stored.append(message)
        return len(self.stored)
