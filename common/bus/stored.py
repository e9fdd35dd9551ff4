"""Reading single messages out of a stream, by subject or sequence, without a consumer."""
from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from common.bus.connection import ApiError, Connection

_NO_MESSAGE = 10037


@dataclass(frozen=True, slots=True)
class Stored:
    subject: str
    sequence: int
    time: float
    data: bytes
    headers: dict[str, str]


async def last_on(connection: Connection, stream: str, subject: str) -> Stored | None:
    """The last message on one subject, or None."""
    return await _get(connection, stream, {"last_by_subj": subject})


async def next_on(connection: Connection, stream: str, pattern: str, sequence: int) -> Stored | None:
    """The first message under a pattern at or after a sequence, or None."""
    return await _get(connection, stream, {"seq": sequence, "next_by_subj": pattern})


async def _get(connection: Connection, stream: str, body: dict[str, object]) -> Stored | None:
    try:
        found = (await connection.call(f"STREAM.MSG.GET.{stream}", body))["message"]
    except ApiError as error:
        if error.code == _NO_MESSAGE:
            return None
        raise
    return Stored(
        subject=found["subject"],
        sequence=found["seq"],
        time=datetime.fromisoformat(found["time"]).timestamp(),
        data=base64.b64decode(found.get("data", "")),
        headers=_headers(base64.b64decode(found.get("hdrs", ""))),
    )


def _headers(block: bytes) -> dict[str, str]:
    lines = block.decode(errors="replace").split("\r\n")[1:]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
