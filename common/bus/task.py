"""A message taken from a work queue: kept while it is worked on, then done, given back or rejected."""
from __future__ import annotations

import asyncio
import json

from nats.aio.msg import Msg

from common.bus.connection import ApiError, Connection, Transient
from common.bus.dead import bury
from common.bus.delivery import Position
from common.bus.streams import bell_of
from common.logs import get_logger
from common.messages import Message

log = get_logger()
_ACK_TRIES = 2
_ACK_SECONDS = 1.0


class Task:
    """Held until `done`, `retry` or `reject`; the server is told every third of `ack_wait` that it still is."""

    def __init__(
        self, connection: Connection, raw: Msg, where: Position, ack_wait: float, held: set[Task]
    ) -> None:
        self.message: Message | None = None
        self.subject = raw.subject
        self.data = raw.data
        self.headers = raw.headers or {}
        self.sequence = where.sequence
        self.delivery_count = where.delivered
        """1 the first time; more after a worker died with it or gave it back."""
        self.settled = False
        self._where = where
        self._raw = raw
        self._connection = connection
        self._held = held
        held.add(self)
        self._keeper = asyncio.create_task(self._keep(ack_wait / 3))

    async def _keep(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            await self.in_progress()

    async def in_progress(self) -> None:
        """Start `ack_wait` anew."""
        await self._connection.publish(self._raw.reply, b"+WPI")

    async def done(self) -> None:
        """Acknowledge, confirmed by the server. Publish the result first: what is not acknowledged comes again."""
        await self._settle(b"+ACK", remove=True)

    async def retry(self, delay: float = 0.0) -> None:
        """Give it back for another delivery after `delay` seconds."""
        await self._settle(b"-NAK " + json.dumps({"delay": int(delay * 1e9)}).encode() if delay else b"-NAK")
        if not delay:
            await self._connection.publish(bell_of(self.subject), b"")

    async def reject(self, reason: str) -> None:
        """Keep it as a dead letter with the reason and never deliver it again."""
        at = f"{self._where.stream}-{self._where.sequence}"
        if await bury(self._connection, self.subject, self.data, self.headers, reason, where=at):
            await self._settle(b"+TERM", remove=True)
        else:
            await self._settle(b"-NAK " + json.dumps({"delay": 1_000_000_000}).encode())

    async def release(self) -> None:
        """Give it back without waiting for the server, as at the end of a service."""
        self._end()
        await self._connection.publish(self._raw.reply, b"-NAK")
        await self._connection.publish(bell_of(self.subject), b"")

    async def _settle(self, word: bytes, *, remove: bool = False) -> None:
        """Tell the server and wait until it has it.

        A server that was killed may not remember having delivered the message, and then says nothing: a message that is
        finished with (`remove`) is deleted by its sequence, any other is delivered again anyway.
        """
        self._end()
        for _ in range(_ACK_TRIES):
            try:
                await self._connection.request(self._raw.reply, word, timeout=_ACK_SECONDS)
                return
            except Transient as error:
                log.debug("task.settle_retry", subject=self.subject, error=str(error))
        if remove:
            await self._remove()

    async def _remove(self) -> None:
        try:
            body = {"seq": self.sequence, "no_erase": True}
            await self._connection.call(f"STREAM.MSG.DELETE.{self._where.stream}", body)
        except ApiError as error:
            log.debug("task.gone_already", subject=self.subject, error=str(error))

    def _end(self) -> None:
        self.settled = True
        self._keeper.cancel()
        self._held.discard(self)
