"""Looking into a work queue without taking anything from it."""
from __future__ import annotations

from collections.abc import Sequence

from common.bus.connection import Connection
from common.bus.dead import bury
from common.bus.delivery import UNREADABLE, Delivery, decoded
from common.bus.stored import Stored, next_on


async def read_queue(connection: Connection, stream: str, patterns: Sequence[str], raw: bool) -> list[Delivery]:
    """Every message under the patterns, in stream order. One request a message: for looking, not for taking."""
    found: dict[int, Stored] = {}
    for pattern in patterns:
        at = 1
        while (message := await next_on(connection, stream, pattern, at)) is not None:
            found[message.sequence] = message
            at = message.sequence + 1
    deliveries = [await _delivery(connection, stream, found[n], raw) for n in sorted(found)]
    return [delivery for delivery in deliveries if delivery is not None]


async def _delivery(connection: Connection, stream: str, message: Stored, raw: bool) -> Delivery | None:
    try:
        content = None if raw else decoded(message.subject, message.data)
    except UNREADABLE as error:
        where = f"{stream}-{message.sequence}"
        await bury(connection, message.subject, message.data, message.headers, str(error), where=where)
        return None
    return Delivery(message.subject, content, message.sequence, message.time, False, message.data, message.headers)
