"""A key-value bucket: the last value of each key, with revisions that allow compare-and-set."""
from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from common.bus.admin import stream_subjects
from common.bus.connection import Connection
from common.bus.delivery import Delivery
from common.bus.errors import AlreadyThere, KeyChanged
from common.bus.follow import Follower
from common.bus.publish import publish
from common.bus.stored import last_on
from common.messages import Message, decode, encode

M = TypeVar("M", bound=Message)
_KEY = re.compile(r"[-/_=A-Za-z0-9]+(\.[-/_=A-Za-z0-9]+)*\Z")
_OPERATION = "KV-Operation"
_MARKER_SECONDS = 3600.0
"""How long the trace of a deleted key stays, for watchers that were away."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key at a revision. `data` is None where the key was deleted (only `watch` shows those)."""

    key: str
    data: bytes | None
    revision: int
    time: float
    caught_up: bool = True

    def decode(self, kind: type[M]) -> M:
        """The value as a message; msgspec's error where it is none, ValueError where the key was deleted."""
        if self.data is None:
            raise ValueError(f"{self.key} was deleted")
        return decode(kind, self.data)


class Table:
    """`bus.table("SG_STATE")`. Values are messages or bytes; a key is dotted words of `-/_=A-Za-z0-9`."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._stream = f"KV_{bucket}"
        self._root = f"$KV.{bucket}."

    async def put(self, key: str, value: Message | bytes, *, ttl: float | None = None) -> int:
        """Write whatever is there; the new revision. The key is gone after `ttl` seconds (whole ones, at least 1)."""
        return await self._write(key, value, None, ttl)

    async def get(self, key: str) -> Entry | None:
        found = await last_on(self._connection, self._stream, self._subject(key))
        if found is None or _OPERATION in found.headers:
            return None
        return Entry(key, found.data, found.sequence, found.time)

    async def create(self, key: str, value: Message | bytes) -> int:
        """Write a key that is not there; AlreadyThere otherwise."""
        try:
            return await self._write(key, value, 0)
        except AlreadyThere:
            found = await last_on(self._connection, self._stream, self._subject(key))
            if found is not None and _OPERATION not in found.headers:
                raise
            return await self._write(key, value, found.sequence if found else 0)

    async def update(self, key: str, value: Message | bytes, revision: int) -> int:
        """Write where the key is still at `revision`; KeyChanged otherwise."""
        try:
            return await self._write(key, value, revision)
        except AlreadyThere as error:
            raise KeyChanged(f"{key} is no longer at revision {revision}: {error}") from None

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Delete the key, only at `revision` where one is given (KeyChanged otherwise)."""
        try:
            headers = {_OPERATION: "DEL", **_expiry(_MARKER_SECONDS)}
            await publish(self._connection, self._stream, self._subject(key), b"", expect=revision, headers=headers)
        except AlreadyThere as error:
            raise KeyChanged(f"{key} is no longer at revision {revision}: {error}") from None

    async def keys(self, pattern: str = ">") -> list[str]:
        """Keys that have a value, sorted."""
        found = await stream_subjects(self._connection, self._stream, self._root + pattern)
        keys = [subject.removeprefix(self._root) for subject in found]
        return sorted([key for key in keys if await self.get(key) is not None])

    def watch(self, pattern: str = ">") -> Watch:
        """Every key's value now, then each change: `async with table.watch() as entries: async for entry in entries`.

        A key that runs out is not announced; read it.
        """
        return Watch(Follower(self._connection, self._stream, (self._root + pattern,), "last"), self._root)

    async def _write(self, key: str, value: Message | bytes, expect: int | None, ttl: float | None = None) -> int:
        data = encode(value) if isinstance(value, Message) else value
        headers = _expiry(ttl) if ttl is not None else {}
        return await publish(self._connection, self._stream, self._subject(key), data, expect=expect, headers=headers)

    def _subject(self, key: str) -> str:
        if not _KEY.match(key):
            raise ValueError(f"{key!r} is no key: use dotted words of -/_=A-Za-z0-9")
        return self._root + key


def _expiry(seconds: float) -> dict[str, str]:
    return {"Nats-TTL": f"{max(1, math.ceil(seconds))}s"}


class Watch:
    """Entries of a table as they are and as they change."""

    def __init__(self, follower: Follower, root: str) -> None:
        self._follower = follower
        self._root = root

    @property
    def caught_up(self) -> bool:
        return self._follower.caught_up

    async def __aenter__(self) -> Watch:
        await self._follower.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._follower.__aexit__(kind, error, trace)

    async def past(self) -> AsyncIterator[Entry]:
        async for delivery in self._follower.past():
            yield self._entry(delivery)

    def __aiter__(self) -> AsyncIterator[Entry]:
        return self

    async def __anext__(self) -> Entry:
        return self._entry(await self._follower.__anext__())

    def _entry(self, delivery: Delivery) -> Entry:
        deleted = _OPERATION in delivery.headers
        key = delivery.subject.removeprefix(self._root)
        return Entry(key, None if deleted else delivery.data, delivery.sequence, delivery.time, delivery.caught_up)
