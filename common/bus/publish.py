"""Durable publishing: acknowledged by the stream, retried over reconnects, stored once."""
from __future__ import annotations

import uuid

from common.bus.connection import ApiError, Connection, Silent, parse_reply
from common.bus.errors import AlreadyThere, BusError, StreamFull, TooLarge
from common.bus.stored import last_on

_ANSWER_SECONDS = 2.0
_WRONG_SEQUENCE = (10071, 10164)
_STORE_FAILED = 10077
_TOO_LARGE = 10054
_NO_SPACE = (10023, 10028, 10047)


async def publish(
    connection: Connection,
    stream: str,
    subject: str,
    data: bytes,
    *,
    msg_id: str | None = None,
    expect: int | None = None,
    headers: dict[str, str] | None = None,
) -> int:
    """Store one message and return its sequence.

    `expect` is the sequence the subject's last message must have (0: none). An id makes the stream store repeated tries
    once for two minutes; where a try was stored but its answer lost, the message found on the subject is recognised.
    Raises AlreadyThere, StreamFull, TooLarge, or Unreachable after `retry_seconds`.
    """
    sent = {**(headers or {}), "Nats-Msg-Id": msg_id or uuid.uuid4().hex, "Nats-Expected-Stream": stream}
    if expect is not None:
        sent["Nats-Expected-Last-Subject-Sequence"] = str(expect)
    tries = 0

    async def attempt() -> int:
        nonlocal tries
        tries += 1
        try:
            answer = parse_reply(await connection.request(subject, data, headers=sent, timeout=_ANSWER_SECONDS))
        except Silent:
            await _require_store(connection, stream)
            raise
        return int(answer["seq"])

    try:
        return await connection.retried(attempt)
    except ApiError as error:
        refusal = _refusal(error, stream, subject)
    if isinstance(refusal, AlreadyThere) and tries > 1:
        there = await last_on(connection, stream, subject)
        if there is not None and there.headers.get("Nats-Msg-Id") == sent["Nats-Msg-Id"]:
            return there.sequence
    raise refusal


async def _require_store(connection: Connection, stream: str) -> None:
    """StreamFull where the server lives but its store gave up (a full disk): publishers then get no answer at all.

    Purging what does not exist changes nothing and is refused with the reason.
    """
    try:
        await connection.api(f"STREAM.PURGE.{stream}", {"filter": f"specgen.probe.{stream}"})
    except ApiError as error:
        raise StreamFull(
            f"stream {stream} cannot be written: {error.description}; free space on the server's disk, "
            "it goes on by itself then"
        ) from None


def _refusal(error: ApiError, stream: str, subject: str) -> BusError:
    """JetStream's refusal as one of ours."""
    per_subject = error.code == _STORE_FAILED and "per subject" in error.description
    if error.code in _WRONG_SEQUENCE or per_subject:
        return AlreadyThere(f"{subject} is taken: {error.description}")
    if error.code == _TOO_LARGE:
        return TooLarge(f"{subject}: {error.description}; raise SPECGEN_BUS_MAX_PAYLOAD or send less")
    if error.code == _STORE_FAILED or error.code in _NO_SPACE:
        return StreamFull(
            f"stream {stream} takes no more: {error.description}; free the disk, wait for old messages to age out, "
            "or raise its size in SPECGEN_BUS_STREAM_MIB with `specgen limits`"
        )
    return BusError(f"stream {stream} refuses a message on {subject}: {error.description} (JetStream {error.code})")
