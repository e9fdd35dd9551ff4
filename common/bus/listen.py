"""Live messages: a core subscription with a bounded queue. A slow reader loses messages, never the connection."""
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from common.bus.connection import Connection
from common.bus.dead import bury
from common.bus.delivery import UNREADABLE, Delivery, live
from common.logs import get_logger

log = get_logger()
_COMPLAIN_EVERY = 5.0


class Listener:
    """`async with bus.listen(pattern) as feed: async for delivery in feed`. `dropped` counts what did not fit."""

    def __init__(
        self, connection: Connection, pattern: str, bound: int, ready: Callable[[], Awaitable[None]], raw: bool
    ) -> None:
        self._connection = connection
        self._pattern = pattern
        self._ready = ready
        self._raw = raw
        self._queue: asyncio.Queue[Msg] = asyncio.Queue(maxsize=bound)
        self._subscription: Subscription | None = None
        self._complained = 0.0
        self.dropped = 0

    async def __aenter__(self) -> Listener:
        self._subscription = await self._connection.subscribe(self._pattern, self._enqueue)
        await self._ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription)

    async def _enqueue(self, message: Msg) -> None:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._drop()

    def _drop(self) -> None:
        self.dropped += 1
        if time.monotonic() - self._complained > _COMPLAIN_EVERY:
            self._complained = time.monotonic()
            log.warning("bus.reader_slow", pattern=self._pattern, dropped=self.dropped)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            message = await self._queue.get()
            try:
                return live(message, self._raw)
            except UNREADABLE as error:
                await bury(self._connection, message.subject, message.data, message.headers, str(error))
