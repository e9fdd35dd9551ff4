"""One connection to the server: reconnects for ever, fails what waits when the line breaks, speaks the JetStream API.

nats-py's defaults are changed on purpose: unlimited reconnects 0.2 s apart, a ping every 5 s. Its own request waits for
its full time when the server dies; `request` here fails at once, so that the caller's retry starts at once.
"""
from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import stamina
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from common.background import end_all
from common.bus.errors import BusError, TooLarge, Unreachable
from common.bus.settings import BusSettings
from common.logs import get_logger

log = get_logger()
T = TypeVar("T")

_HEADER_ROOM = 512
"""Bytes left for the header block's fixed part and the protocol line."""
_BUFFER = 8 * 2**20
"""Bytes kept for the server while it is away; beyond, core messages are dropped and counted."""
_NOT_READY = (10008, 10039, 10076)
"""JetStream's codes for `temporarily unavailable` and `not enabled`, which a starting server answers."""

_WORTH_A_TRY = (
    nats_errors.NoRespondersError,
    nats_errors.OutboundBufferLimitError,
    nats_errors.ConnectionClosedError,
)


class Transient(Exception):
    """Worth another try: the line broke, or nobody answered."""


class Silent(Transient):
    """Connected, but no answer in time."""


class ApiError(BusError):
    """What the JetStream API refused, with its code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"the server refuses: {description} (JetStream {code})")
        self.code = code
        self.description = description


class Connection:
    """Owns the nats client. `on_reconnect` callbacks run after each new connection and must not wait."""

    def __init__(self, name: str, url: str, token: str | None, settings: BusSettings) -> None:
        self.name = name
        self.settings = settings
        self.dropped = 0
        self.on_reconnect: list[Callable[[], None]] = []
        self._url = url
        self._token = token
        self._nc: Client = Client()
        self._up = asyncio.Event()
        self._subscriptions: set[Subscription] = set()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._broken: set[asyncio.Future[Any]] = set()
        self._last_error: Exception | None = None
        self._refused = asyncio.Event()

    async def open(self) -> None:
        """Connect; Unreachable after `connect_seconds`, or at once where the token is refused."""
        connecting = asyncio.create_task(self._connect())
        refused = asyncio.create_task(self._refused.wait())
        await asyncio.wait(
            (connecting, refused), timeout=self.settings.connect_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        refused.cancel()
        if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
            self._up.set()
            return
        await end_all([connecting])
        await self.close()
        raise Unreachable(self._explain())

    def _explain(self) -> str:
        if self._refused.is_set():
            return f"the server at {self._url} refuses the token: set SPECGEN_BUS_TOKEN, or unset SPECGEN_BUS_URL"
        why = f" ({self._last_error})" if self._last_error else ""
        return f"no server answers at {self._url}{why}: start one with `specgen up`, or set SPECGEN_BUS_URL"

    async def _connect(self) -> None:
        await self._nc.connect(
            servers=[self._url],
            name=self.name,
            token=self._token,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]
            connect_timeout=2,
            ping_interval=5,
            max_outstanding_pings=2,
            pending_size=_BUFFER,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
        )

    @property
    def connected(self) -> bool:
        return self._up.is_set() and self._nc.is_connected

    @property
    def closed(self) -> bool:
        return self._nc.is_closed

    @property
    def max_payload(self) -> int:
        return self._nc.max_payload

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Until the line is up; Transient after `timeout` seconds, Unreachable where it will never be."""
        if self.connected:
            return
        if self.closed:
            raise Unreachable(self._explain())
        try:
            await asyncio.wait_for(self._up.wait(), timeout)
        except TimeoutError:
            raise Transient("not connected") from None
        if self.closed:
            raise Unreachable(self._explain())

    async def publish(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Core publish. While the server is away up to 8 MiB wait; what does not fit is dropped and counted."""
        self.require_size(subject, data, headers)
        try:
            await self._nc.publish(subject, data, reply=reply, headers=headers)
        except nats_errors.OutboundBufferLimitError:
            self.dropped += 1
        except nats_errors.ConnectionClosedError:
            raise Unreachable(self._explain()) from None

    def require_size(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """The server cuts off a client that sends too much, so the client looks first."""
        extra = sum(len(k) + len(v) + 4 for k, v in headers.items()) + _HEADER_ROOM if headers else 0
        if len(data) + extra > self._nc.max_payload:
            raise TooLarge(
                f"a message of {len(data)} bytes on {subject} exceeds the server's limit of {self._nc.max_payload}: "
                "raise SPECGEN_BUS_MAX_PAYLOAD and restart the server, or send less"
            )

    async def request(
        self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None, timeout: float = 5.0
    ) -> Msg:
        """One request, one answer; Transient where the line breaks or no answer comes in `timeout` seconds."""
        self.require_size(subject, data, headers)
        await self.wait_connected(timeout)
        try:
            return await self.while_connected(self._nc.request(subject, data, timeout=timeout, headers=headers))
        except nats_errors.TimeoutError as error:
            raise Silent(str(error)) from None
        except _WORTH_A_TRY as error:
            raise Transient(str(error)) from None

    async def while_connected(self, answer: Coroutine[Any, Any, T]) -> T:
        """Wait for something from the server; Transient as soon as the line breaks."""
        task = asyncio.ensure_future(answer)
        self._waiting.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if task in self._broken:
                raise Transient("the connection broke") from None
            raise
        finally:
            self._waiting.discard(task)
            self._broken.discard(task)

    async def api(self, call: str, body: dict[str, Any] | None = None, timeout: float = 5.0) -> dict[str, Any]:
        """One call of the JetStream API; ApiError where it refuses, Transient where it is not ready."""
        return parse_reply(await self.request(f"$JS.API.{call}", json.dumps(body or {}).encode(), timeout=timeout))

    async def call(self, call: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """`api`, retried while the server is away."""
        return await self.retried(lambda: self.api(call, body))

    async def retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat over Transient for `retry_seconds`, then Unreachable."""
        caller = stamina.AsyncRetryingCaller(
            attempts=None, timeout=self.settings.retry_seconds, wait_initial=0.02, wait_max=1.0, wait_jitter=0.05
        )
        try:
            return await caller(Transient, attempt)
        except Transient as error:
            raise Unreachable(f"{self._explain()} [{error}]") from None

    async def subscribe(self, subject: str, on_message: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """A core subscription whose callback must only enqueue. Made again by nats-py after a reconnect."""
        subscription = await self._nc.subscribe(subject, cb=on_message, pending_bytes_limit=0)
        self._subscriptions.add(subscription)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions and not self.closed:
            self._subscriptions.remove(subscription)
            await subscription.unsubscribe()

    def inbox(self) -> str:
        return self._nc.new_inbox()

    async def close(self) -> None:
        self.on_reconnect.clear()
        for subscription in list(self._subscriptions):
            await self.unsubscribe(subscription)
        try:
            await self._nc.close()
        except OSError as error:
            log.debug("bus.closed_broken", error=str(error))

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if "Authorization" in str(error):
            self._refused.set()
        log.debug("bus.error", error=str(error) or type(error).__name__)

    async def _on_disconnect(self) -> None:
        self._up.clear()
        self._break()
        if not self.closed:
            log.warning("bus.disconnected", client=self.name)

    async def _on_reconnected(self) -> None:
        self._up.set()
        log.info("bus.reconnected", client=self.name)
        for callback in self.on_reconnect:
            callback()

    async def _on_closed(self) -> None:
        self._up.set()
        self._break()

    def _break(self) -> None:
        for task in self._waiting:
            self._broken.add(task)
            task.cancel()


def parse_reply(message: Msg) -> dict[str, Any]:
    """The JSON answer of JetStream; ApiError or Transient by what it says."""
    answer: dict[str, Any] = json.loads(message.data)
    error = answer.get("error")
    if error is None:
        return answer
    code, description = error.get("err_code", 0), error.get("description", "")
    if code in _NOT_READY:
        raise Transient(description)
    raise ApiError(code, description)

