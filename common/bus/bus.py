"""The bus as services use it: one object over one connection."""
from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from nats.aio.msg import Msg

from common.bus import admin
from common.bus.connection import Connection, Transient
from common.bus.dead import retry
from common.bus.delivery import Delivery
from common.bus.discovery import find_server
from common.bus.errors import Unreachable
from common.bus.follow import Follower, Since
from common.bus.history import read_queue
from common.bus.lease import Lease
from common.bus.listen import Listener
from common.bus.publish import publish
from common.bus.settings import BusSettings, require_name
from common.bus.streams import LEASES, stream_of
from common.bus.table import Table
from common.bus.work import Work
from common.logs import get_logger
from common.messages import Message, encode

log = get_logger()
_POLL_SECONDS = 0.5


class Bus:
    """`async with await Bus.connect("validator-1", settings) as bus`. Patterns and subjects are full ones.

    Everything survives a restart of the server; a call that needs it is retried for `retry_seconds` and then raises
    Unreachable, while readers wait without limit.
    """

    def __init__(self, connection: Connection, settings: BusSettings) -> None:
        self.name = connection.name
        self.settings = settings
        self._connection = connection
        self._echo = connection.inbox()
        self._echoes: dict[str, asyncio.Future[None]] = {}
        self._lease_seconds = settings.lease_seconds
        self._repair: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, name: str, settings: BusSettings) -> Bus:
        """Connect under a name and create missing streams and buckets; Unreachable where there is no server."""
        url, token = find_server(settings)
        connection = Connection(require_name(name), url, token, settings)
        await connection.open()
        bus = cls(connection, settings)
        try:
            await connection.subscribe(f"{bus._echo}.*", bus._on_echo)
            async with asyncio.timeout(settings.connect_seconds):
                in_force = await admin.ensure_streams(connection, settings)
        except TimeoutError:
            await connection.close()
            raise Unreachable(f"the server at {url} has no JetStream: start it with -js, or use `specgen up`") from None
        except BaseException:
            await connection.close()
            raise
        bus._lease_seconds = in_force[f"KV_{LEASES}"]["max_age"] / 1e9
        connection.on_reconnect.append(bus._on_reconnect)
        return bus

    async def __aenter__(self) -> Bus:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is still buffered, if the server is there to take it, and disconnect."""
        if self._repair is not None:
            self._repair.cancel()
        if self._connection.connected:
            try:
                await self._ping(2.0)
            except Transient:
                log.warning("bus.closed_unsent", client=self.name)
        await self._connection.close()

    @property
    def connected(self) -> bool:
        return self._connection.connected

    @property
    def dropped(self) -> int:
        """Emitted messages that did not fit while the server was away."""
        return self._connection.dropped

    def _on_reconnect(self) -> None:
        """A stream in memory is gone after a restart: make it again."""
        if self._repair is None or self._repair.done():
            self._repair = asyncio.create_task(self._ensure())

    async def _ensure(self) -> None:
        try:
            await admin.ensure_streams(self._connection, self.settings)
        except Unreachable as error:
            log.warning("bus.streams_missing", error=str(error))

    # Writing

    async def emit(self, message: Message) -> None:
        """Send to whoever listens now. Best effort: for tokens, cancellations and hints; TooLarge."""
        await self._connection.publish(message.subject(), encode(message))

    async def record(self, message: Message, *, msg_id: str | None = None, expect_new: bool = False) -> int:
        """Store in the subject's stream and return the sequence.

        `msg_id` makes repeated calls within two minutes store it once; `expect_new` demands that its subject is empty.
        Raises AlreadyThere, StreamFull, TooLarge, Unreachable.
        """
        subject = message.subject()
        stream = stream_of(subject).name
        expect = 0 if expect_new else None
        return await publish(self._connection, stream, subject, encode(message), msg_id=msg_id, expect=expect)

    async def barrier(self) -> None:
        """Return once the server has processed everything sent on this connection before.

        A message to ourselves, since the server handles one connection's messages in order (a ping of nats-py overtakes
        its own queue).
        """
        await self._connection.retried(lambda: self._ping(5.0))

    async def _ping(self, timeout: float) -> None:
        await self._connection.wait_connected(timeout)
        nonce = uuid.uuid4().hex
        echo = self._echoes[nonce] = asyncio.get_running_loop().create_future()
        try:
            await self._connection.publish(f"{self._echo}.{nonce}", b"")
            await self._connection.while_connected(asyncio.wait_for(echo, timeout))
        except TimeoutError:
            raise Transient("no echo") from None
        finally:
            del self._echoes[nonce]

    async def _on_echo(self, message: Msg) -> None:
        echo = self._echoes.get(message.subject.rsplit(".", 1)[-1])
        if echo is not None and not echo.done():
            echo.set_result(None)

    # Reading

    def listen(self, pattern: str, *, bound: int | None = None, raw: bool = False) -> Listener:
        """Live messages under a pattern, from the moment the block is entered.

        What a slow reader has no room for (`bound`, by default `pending_messages`) is dropped and counted. `raw` leaves
        the bytes as they are, here and below: `message` is None and nothing becomes a dead letter.
        """
        return Listener(self._connection, pattern, bound or self.settings.pending_messages, self.barrier, raw)

    def follow(self, *patterns: str, since: Since = "start", raw: bool = False) -> Follower:
        """History, then live, in order and without a gap, over the one stream the patterns belong to.

        `since`: `start`, `new`, `last` (each subject's last, then live), a sequence (inclusive) or a datetime.
        `async for d in feed.past()` ends with the history; `async for d in feed` never does.
        ValueError for a work queue (its messages belong to workers: see `history` and `subjects`).
        """
        stream = self._one_stream(patterns)
        if stream.retention == "workqueue":
            raise ValueError(f"{stream.name} is a work queue: use work(), history() or subjects()")
        return Follower(self._connection, stream.name, patterns, since, raw)

    async def history(self, *patterns: str, since: Since = "start", raw: bool = False) -> list[Delivery]:
        """Everything stored under the patterns now, in stream order; of a work queue, what still waits or is held."""
        stream = self._one_stream(patterns)
        if stream.retention == "workqueue":
            return await read_queue(self._connection, stream.name, patterns, raw)
        async with self.follow(*patterns, since=since, raw=raw) as feed:
            return [delivery async for delivery in feed.past()]

    def _one_stream(self, patterns: Sequence[str]) -> Any:
        streams = {stream_of(pattern) for pattern in patterns}
        if len(streams) != 1:
            raise ValueError(f"patterns must belong to one stream: {', '.join(patterns) or 'none given'}")
        return streams.pop()

    def work(
        self, patterns_by_priority: Sequence[str], *, durable: str, ack_wait: float, poll: float = _POLL_SECONDS
    ) -> Work:
        """Take work, highest priority first. Workers with the same `durable` share it.

        A message neither settled nor kept for `ack_wait` seconds is delivered again; kept it is, while its process
        lives. `poll` bounds the wait for a message that no bell announces.
        """
        return Work(self._connection, patterns_by_priority, durable=durable, ack_wait=ack_wait, poll=poll)

    # Limits and what waits

    async def apply_limits(self) -> dict[str, dict[str, Any]]:
        """Give every stream the limits of this client's settings: for whoever runs the server. What is in force then,
        by stream; Unreachable where the server has not so much room."""
        return await admin.ensure_streams(self._connection, self.settings, update=True)

    async def purge(self, pattern: str) -> int:
        """Remove stored messages under a pattern; how many went. Running work is not stopped by it."""
        return await admin.purge(self._connection, pattern)

    async def subjects(self, pattern: str) -> dict[str, int]:
        """Number of stored messages by subject under a pattern."""
        return await admin.subjects(self._connection, pattern)

    async def retry_dead(self, letter: Delivery) -> None:
        """Send a dead letter's message again and forget the letter. ValueError where it was not kept whole."""
        await retry(self._connection, letter)

    # Tables and leases

    def table(self, bucket: str) -> Table:
        return Table(self._connection, bucket)

    def lease(self, key: str, holder: str, value: dict[str, Any] | None = None) -> Lease:
        """Hold `key` for the length of a block; LeaseHeld (naming the holder) where somebody else does."""
        table = Table(self._connection, LEASES)
        return Lease(self._connection, table, key, holder, value or {}, self._lease_seconds)
