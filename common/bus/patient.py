"""Recording what must not be lost although the stream takes nothing now."""
from __future__ import annotations

import asyncio
import uuid

from common.bus.bus import Bus
from common.bus.errors import StreamFull
from common.logs import get_logger
from common.messages import Message

log = get_logger()
FULL_WAIT = 1.0
"""Seconds between tries while the stream is full."""


async def record_patiently(bus: Bus, message: Message, *, msg_id: str | None = None) -> int:
    """`bus.record`, again and again while the stream is full: the caller waits for room and loses nothing."""
    msg_id = msg_id or uuid.uuid4().hex  # one for all tries: a refused one may have been stored, its answer lost
    while True:
        try:
            return await bus.record(message, msg_id=msg_id)
        except StreamFull as error:
            log.warning("bus.waiting", subject=message.subject(), reason=str(error))
            await asyncio.sleep(FULL_WAIT)
