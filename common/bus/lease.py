"""Leases: one holder a key, for as long as it renews. The revision of the create is the fencing number."""
from __future__ import annotations

import asyncio
import time
import uuid
from types import TracebackType
from typing import Any

import msgspec

from common.bus.connection import Connection
from common.bus.errors import AlreadyThere, BusError, KeyChanged, LeaseHeld, LeaseLost, Unreachable
from common.bus.table import Table
from common.logs import get_logger

log = get_logger()
_RELEASE_SECONDS = 2.0


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A lease's value: who holds it and what the holder says of itself."""

    holder: str
    nonce: str
    """Tells two takings by the same holder apart."""
    value: dict[str, Any] = msgspec.field(default_factory=dict)


class Lease:
    """`async with bus.lease(key, holder, value) as lease`: LeaseHeld on entry where another holds it.

    `lost` is set as soon as a renewal is refused, or `lease_seconds` passed since the last one that succeeded was sent:
    by then somebody else may hold it.
    """

    def __init__(
        self, connection: Connection, table: Table, key: str, holder: str, value: dict[str, Any], seconds: float
    ) -> None:
        self.key = key
        self.holder = holder
        self.revision = 0
        """Grows with every taking of any lease: a store that remembers the highest seen can refuse a former holder."""
        self.lost = asyncio.Event()
        self._connection = connection
        self._table = table
        self._seconds = seconds
        self._value = msgspec.msgpack.encode(Holder(holder=holder, nonce=uuid.uuid4().hex, value=value))
        self._current = 0
        self._good_until = 0.0
        self._lock = asyncio.Lock()
        self._renewer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lease:
        sent = time.monotonic()
        try:
            self.revision = self._current = await self._table.create(self.key, self._value)
        except AlreadyThere:
            raise LeaseHeld(self.key, await self._who()) from None
        self._good_until = sent + self._seconds
        self._renewer = asyncio.create_task(self._renew_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release; where the server cannot be told in time the lease runs out by itself."""
        if self._renewer is not None:
            self._renewer.cancel()
        if self.lost.is_set():
            return
        try:
            async with self._lock:
                await asyncio.wait_for(self._table.delete(self.key, self._current), _RELEASE_SECONDS)
        except (BusError, TimeoutError) as failure:
            log.warning("lease.not_released", key=self.key, error=str(failure) or "no answer")

    async def _who(self) -> str:
        entry = await self._table.get(self.key)
        return read_holder(entry.data).holder if entry and entry.data else "someone who just released it"

    async def _renew_for_ever(self) -> None:
        while not self.lost.is_set():
            await asyncio.sleep(min(self._seconds / 3, self._left()))
            try:
                await asyncio.wait_for(self._renew(), self._left())
            except (KeyChanged, Unreachable, TimeoutError) as error:
                self._lose(str(error) or "not renewed in time")
            except BusError as error:  # a full disk, say: there may be room again before the time is up
                log.warning("lease.not_renewed", key=self.key, holder=self.holder, error=str(error))

    def _left(self) -> float:
        return max(0.0, self._good_until - time.monotonic())

    async def _renew(self) -> None:
        async with self._lock:
            sent = time.monotonic()
            self._current = await self._table.update(self.key, self._value, self._current)
            self._good_until = sent + self._seconds

    def _lose(self, why: str) -> None:
        log.warning("lease.lost", key=self.key, holder=self.holder, reason=why)
        self.lost.set()

    async def check(self) -> None:
        """Ask the server; LeaseLost where the lease is not held any more or that cannot be confirmed in time."""
        if not self.lost.is_set():
            try:
                await asyncio.wait_for(self._confirm(), self._left())
            except (BusError, TimeoutError) as error:
                self._lose(f"could not be confirmed: {error or 'no answer in time'}")
        if self.lost.is_set():
            raise LeaseLost(f"{self.holder} no longer holds {self.key} (revision {self.revision})")

    async def _confirm(self) -> None:
        async with self._lock:
            entry = await self._table.get(self.key)
            if entry is None or entry.revision != self._current:
                self._lose("the server has another revision")


def read_holder(data: bytes) -> Holder:
    """A lease's value, as read from the table SG_LEASE."""
    return msgspec.msgpack.decode(data, type=Holder)
