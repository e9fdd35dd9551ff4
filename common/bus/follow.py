"""Reading a stream in order: history, then live, across server restarts.

An ephemeral pull consumer without acknowledgements delivers batches; consumer sequences must be gapless. On a gap, a
silent server, a reconnect or a vanished consumer a new one is made behind the last sequence seen. Pulling means that a
reader which stops reading stops the flow: nothing is dropped and nothing piles up.
"""
from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from common.bus.admin import NO_STREAM, identity
from common.bus.connection import ApiError, Connection, Transient
from common.bus.dead import bury
from common.bus.delivery import UNREADABLE, Delivery, Position, position, stored
from common.logs import get_logger

log = get_logger()

Since = Literal["start", "new", "last"] | int | datetime
"""`start`, `new` (only what comes from now on), `last` (each subject's last message, then live), a sequence (inclusive)
or a moment."""

_BATCH = 256
_BATCH_BYTES = 64 * 2**20 + 65536
_HEARTBEAT = 2.0
_SILENCE = 5.0
"""Seconds without a word, heartbeats included, after which the consumer is taken for lost."""
_EXPIRES = 30.0
_IDLE = 60.0
_NANO = 1_000_000_000
_HEADER_STATUS, _HEADER_WHY = "Status", "Description"


class Follower:
    """`async with bus.follow(…) as feed:`; `feed.past()` ends where history ends, `feed` itself goes on for ever."""

    def __init__(
        self, connection: Connection, stream: str, patterns: tuple[str, ...], since: Since, raw: bool = False
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._patterns = patterns
        self._since = since
        self._raw = raw
        self._last = 0
        self._created: str | None = None
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._consumer = ""
        self._expected = 1
        self._open = 0
        self._pull_id = 0
        self.caught_up = False
        """True once everything stored when reading began was handed out."""

    async def __aenter__(self) -> Follower:
        self._inbox = self._connection.inbox()
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._queue.put)
        self._connection.on_reconnect.append(self._woken)
        await self._restart()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._woken in self._connection.on_reconnect:
            self._connection.on_reconnect.remove(self._woken)
        if self._connection.closed or self._subscription is None:
            return
        await self._connection.unsubscribe(self._subscription)
        await self._connection.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}", b"")

    def _woken(self) -> None:
        self._queue.put_nowait(None)

    async def past(self) -> AsyncIterator[Delivery]:
        """What is stored, up to the moment nothing more waits."""
        while not self.caught_up:
            delivery = await self._next()
            if delivery is not None:
                yield delivery

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            delivery = await self._next()
            if delivery is not None:
                return delivery

    async def _next(self) -> Delivery | None:
        """The next delivery; None for one that could not be read (now a dead letter)."""
        message, where = await self._receive()
        self._last = where.sequence
        self.caught_up = self.caught_up or where.left == 0
        try:
            return stored(message, where, self._raw)
        except UNREADABLE as error:
            at = f"{where.stream}-{where.sequence}"
            await bury(self._connection, message.subject, message.data, message.headers, str(error), where=at)
            return None

    async def _receive(self) -> tuple[Msg, Position]:
        while True:
            if self._open == 0:
                await self._pull()
            message = await self._heard()
            if message is None:
                await self._restart()
            elif status := (message.headers or {}).get(_HEADER_STATUS):
                await self._on_status(message, status)
            else:
                where = position(message.reply)
                if where.consumer != self._consumer:
                    continue
                if where.consumer_sequence == self._expected:
                    self._expected += 1
                    self._open -= 1
                    return message, where
                await self._restart()

    async def _heard(self) -> Msg | None:
        """The next word from the server; None where it was silent or the line was made anew."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        try:
            return await asyncio.wait_for(self._queue.get(), _SILENCE)
        except TimeoutError:
            return None

    async def _on_status(self, message: Msg, status: str) -> None:
        """100 is a heartbeat; 404, 408 and 409 end a pull; no responders (503) or a deleted consumer need a new one."""
        if status == "100" or message.subject != f"{self._inbox}.{self._pull_id}":
            return
        if status == "503" or "onsumer" in (message.headers or {}).get(_HEADER_WHY, ""):
            await asyncio.sleep(0.05)
            await self._restart()
        else:
            self._open = 0

    async def _pull(self) -> None:
        self._open = _BATCH
        self._pull_id += 1
        body = {
            "batch": _BATCH,
            "max_bytes": _BATCH_BYTES,
            "expires": int(_EXPIRES * _NANO),
            "idle_heartbeat": int(_HEARTBEAT * _NANO),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._connection.publish(subject, json.dumps(body).encode(), reply=f"{self._inbox}.{self._pull_id}")

    async def _restart(self) -> None:
        """A new consumer behind the last sequence seen. Waits for the server without limit: a reader holds nothing."""
        while True:
            await self._connection.wait_connected()
            try:
                await self._create()
                return
            except Transient as error:
                why = str(error)
            except ApiError as error:
                if error.code != NO_STREAM:
                    raise
                why = "the stream is being made again"
            log.debug("bus.follow_retry", stream=self._stream, reason=why)
            await asyncio.sleep(0.1)

    async def _create(self) -> None:
        await self._find_place()
        name = self._inbox.rsplit(".", 1)[-1] + f"-{self._pull_id}"
        body = {"stream_name": self._stream, "config": {"name": name, **self._config()}}
        info = await self._connection.api(f"CONSUMER.CREATE.{self._stream}.{name}", body)
        self._consumer, self._expected, self._open = name, 1, 0
        self._pull_id += 1
        if info["num_pending"] == 0:
            self.caught_up = True

    async def _find_place(self) -> None:
        """Fix where `new` begins, and notice a stream that was made anew: its sequences begin at 1 again."""
        created, last = await identity(self._connection, self._stream)
        if self._created is not None and created != self._created:
            log.warning("bus.stream_replaced", stream=self._stream)
            self._last, self._since = 0, "start"
        elif self._since == "new":
            self._since = last + 1
            self.caught_up = True
        self._created = created

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "ack_policy": "none",
            "filter_subjects": list(self._patterns),
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(_IDLE * _NANO),
            "max_waiting": 8,
        }
        return config | self._start()

    def _start(self) -> dict[str, Any]:
        since = self._last + 1 if self._last else self._since
        if isinstance(since, datetime):
            moment = since.astimezone(UTC).isoformat().replace("+00:00", "Z")
            return {"deliver_policy": "by_start_time", "opt_start_time": moment}
        if isinstance(since, int):
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, since)}
        return {"deliver_policy": "last_per_subject" if since == "last" else "all"}
