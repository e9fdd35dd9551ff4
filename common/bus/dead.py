"""Dead letters: what nobody could handle is kept with the reason, and never ends a reader."""
from __future__ import annotations

import hashlib
import time

from common.bus.connection import Connection
from common.bus.delivery import Delivery
from common.bus.errors import BusError
from common.bus.publish import publish
from common.bus.streams import stream_of
from common.logs import get_logger
from common.messages import PREFIX, DeadLetter, encode

log = get_logger()
_KEEP = 256 * 1024
"""Bytes of the message kept in its dead letter; a header says so where there were more."""
DEAD = f"{PREFIX}.dead"
_TRUNCATED = "Specgen-Truncated"


async def bury(
    connection: Connection, subject: str, data: bytes, headers: dict[str, str] | None, reason: str, *, where: str = ""
) -> bool:
    """Record a dead letter; False where that failed too (logged) or the message is a dead letter itself.

    `where` names the delivery (stream and sequence), so that several readers of one bad message record it once.
    """
    log.warning("message.dead", subject=subject, reason=reason)
    if subject.startswith(DEAD + "."):
        return False
    letter = DeadLetter(
        source=connection.name,
        at=time.time(),
        subject_was=subject,
        reason=reason,
        headers=dict(headers or {}) | ({_TRUNCATED: str(len(data))} if len(data) > _KEEP else {}),
        data=data[:_KEEP],
    )
    target = letter.subject()
    msg_id = hashlib.sha256(f"{where or time.monotonic_ns()}|{subject}|{reason}".encode()).hexdigest()
    try:
        await publish(connection, stream_of(target).name, target, encode(letter), msg_id=msg_id)
    except BusError as error:
        log.error("message.dead_lost", subject=subject, error=str(error))
        return False
    return True


async def retry(connection: Connection, delivery: Delivery) -> None:
    """Send the buried message to its subject again, then delete the letter. ValueError where that cannot be done."""
    letter = delivery.message
    if not isinstance(letter, DeadLetter):
        raise ValueError(f"{delivery.subject} is no dead letter")
    if _TRUNCATED in letter.headers:
        raise ValueError(f"its message of {letter.headers[_TRUNCATED]} bytes was not kept whole")
    headers = {name: value for name, value in letter.headers.items() if not name.startswith("Nats-")}
    try:
        stream = stream_of(letter.subject_was).name
    except ValueError:
        await connection.publish(letter.subject_was, letter.data, headers=headers or None)
    else:
        await publish(connection, stream, letter.subject_was, letter.data, headers=headers)
    await connection.call(f"STREAM.MSG.DELETE.{stream_of(delivery.subject).name}", {"seq": delivery.sequence})
