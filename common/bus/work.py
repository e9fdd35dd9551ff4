"""Taking work by priority: one durable pull consumer a priority, drained high to low, and a doorbell between polls.

The bell is cleared before polling, so that a message which arrives during the poll rings again; a slow poll beneath it
catches what no bell announces (a job given back by a dead worker).
"""
from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from types import TracebackType

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from common.bus.connection import ApiError, Connection, Transient
from common.bus.delivery import UNREADABLE, decoded, position
from common.bus.errors import BusError
from common.bus.streams import bell_of, stream_of
from common.bus.task import Task
from common.logs import get_logger

log = get_logger()

_NANO = 1_000_000_000
_ANSWER = 2.0
"""Seconds an answer to a no-wait pull may take before it is asked again."""


class Work:
    """`async with bus.work([p0, p1], durable=…, ack_wait=…) as work: task = await work.next(timeout)`."""

    def __init__(
        self, connection: Connection, patterns: Sequence[str], *, durable: str, ack_wait: float, poll: float
    ) -> None:
        self._connection = connection
        self._stream = stream_of(patterns[0]).name
        self._ack_wait = ack_wait
        self._poll = poll
        self._queues = [
            PullQueue(connection, self._stream, pattern, f"{durable}-p{i}", ack_wait)
            for i, pattern in enumerate(patterns)
        ]
        self._bells = [bell_of(pattern) for pattern in patterns]
        self._rung = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self.held: set[Task] = set()

    async def __aenter__(self) -> Work:
        for bell in self._bells:
            self._subscriptions.append(await self._connection.subscribe(bell, self._ring))
        self._connection.on_reconnect.append(self._rung.set)
        for queue in self._queues:
            await queue.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives back at once whatever is still held."""
        if self._rung.set in self._connection.on_reconnect:
            self._connection.on_reconnect.remove(self._rung.set)
        for task in list(self.held):
            await task.release()
        for queue in self._queues:
            await queue.close()
        for subscription in self._subscriptions:
            await self._connection.unsubscribe(subscription)

    async def _ring(self, _: Msg) -> None:
        self._rung.set()

    async def next(self, timeout: float) -> Task | None:
        """The first message of the highest priority that has one; None after `timeout` seconds."""
        end = time.monotonic() + timeout
        while True:
            self._rung.clear()
            task = await self._drain()
            left = end - time.monotonic()
            if task is not None or left <= 0:
                return task
            try:
                await asyncio.wait_for(self._rung.wait(), min(self._poll, left))
            except TimeoutError:
                continue

    async def _drain(self) -> Task | None:
        if not self._connection.connected:
            return None
        for queue in self._queues:
            try:
                message = await queue.take()
            except Transient as error:
                log.debug("bus.pull_retry", queue=queue.durable, error=str(error))
                return None
            if message is not None:
                return await self._open(message)
        return None

    async def _open(self, message: Msg) -> Task | None:
        where = position(message.reply)
        task = Task(self._connection, message, where, self._ack_wait, self.held)
        try:
            content = decoded(message.subject, message.data)
        except UNREADABLE as error:
            await task.reject(str(error))
            self._rung.set()
            return None
        task.message = content
        return task


class PullQueue:
    """One durable consumer, asked for one message at a time without waiting."""

    def __init__(self, connection: Connection, stream: str, pattern: str, durable: str, ack_wait: float) -> None:
        self.durable = durable
        self._connection = connection
        self._stream = stream
        self._pattern = pattern
        self._ack_wait = ack_wait
        self._inbox = connection.inbox()
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._pull_id = 0

    async def open(self) -> None:
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._arrived.put)
        await self._connection.retried(self._create)

    async def _create(self) -> None:
        config = {
            "name": self.durable,
            "durable_name": self.durable,
            "ack_policy": "explicit",
            "ack_wait": int(self._ack_wait * _NANO),
            "deliver_policy": "all",
            "filter_subject": self._pattern,
            "max_deliver": -1,
            "max_ack_pending": 10_000,
        }
        call = f"CONSUMER.CREATE.{self._stream}.{self.durable}.{self._pattern}"
        try:
            await self._connection.api(call, {"stream_name": self._stream, "config": config})
        except ApiError as error:
            raise BusError(f"cannot take work from {self._pattern} as {self.durable}: {error}") from None

    async def close(self) -> None:
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription)
        while not self._arrived.empty():
            message = self._arrived.get_nowait()
            if message.reply.startswith("$JS.ACK."):
                await self._connection.publish(message.reply, b"-NAK")

    async def take(self) -> Msg | None:
        """A message, or None where none waits. A message that answers an earlier pull late is as good."""
        if not self._arrived.empty():
            message = self._arrived.get_nowait()
            if message.reply.startswith("$JS.ACK."):
                return message
        self._pull_id += 1
        reply = f"{self._inbox}.{self._pull_id}"
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self.durable}"
        await self._connection.publish(subject, json.dumps({"batch": 1, "no_wait": True}).encode(), reply=reply)
        return await self._answer(reply)

    async def _answer(self, reply: str) -> Msg | None:
        end = time.monotonic() + _ANSWER
        while True:
            try:
                message = await asyncio.wait_for(self._arrived.get(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                raise Transient("no answer to a pull") from None
            if message.reply.startswith("$JS.ACK."):
                return message
            if message.subject == reply:
                await self._refused(message)
                return None

    async def _refused(self, message: Msg) -> None:
        """404 means nothing waits; 503 that the consumer is gone or the server still starting."""
        if (message.headers or {}).get("Status") == "503":
            await self._create()
            raise Transient("the consumer was missing")


