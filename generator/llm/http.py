"""Requests to an endpoint: retried while it is overloaded or away, and failed with a sentence otherwise."""
from __future__ import annotations

import math
import time
from typing import Any, TypeVar

import aiohttp
import msgspec
import stamina

from generator.llm import wire
from generator.llm.errors import (
    ContextOverflow,
    EndpointProblem,
    NotAnEndpoint,
    Overloaded,
    Refused,
    StreamBroken,
    Unauthorized,
    Unreachable,
    WrongModel,
)

T = TypeVar("T")
_OVERFLOW = ("context_length_exceeded", "maximum context length", "context length", "max_model_len", "too many tokens")
_WAIT_LIMIT = 300.0
"""Longest wait an endpoint's Retry-After is followed for where tries are counted, seconds."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for what, in seconds."""

    connect: float = 10.0
    first: float = 300.0
    """Until an answer begins: an engine may queue a request for long."""
    idle: float = 60.0
    """Silence within a stream."""
    attempts: int = 6
    """Tries of a request that meets 429, 5xx or no connection."""
    away: float | None = None
    """Seconds such a request is tried for in place of a number of tries: an engine that restarts loads its model."""
    wait: float = 0.5
    """Before the second try; doubled for each further one."""
    wait_max: float = 30.0


class Http:
    """One endpoint's connection pool. Use as an async context manager."""

    def __init__(self, url: str, api_key: str | None, patience: Patience) -> None:
        self.url = base_url(url)
        self.patience = patience
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Http:
        # No limit on connections: main and every fork stream at once, and a queued fork would be a late one.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.patience.connect, sock_read=self.patience.first)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, kind: type[T]) -> T:
        return self._parsed(path, kind, await self._body("GET", path, None))

    async def post(self, path: str, body: dict[str, Any], kind: type[T]) -> T:
        return self._parsed(path, kind, await self._body("POST", path, body))

    async def open_stream(self, path: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
        """A response whose status is 200; the caller closes it."""
        return await self._retried("POST", path, body)

    def _parsed(self, path: str, kind: type[T], data: bytes) -> T:
        try:
            return wire.parse(kind, data)
        except msgspec.DecodeError:
            raise NotAnEndpoint(
                f"{self.url}{path} answers, but not as an OpenAI-compatible API does: check the URL"
            ) from None

    async def _body(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        response = await self._retried(method, path, body)
        try:
            return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StreamBroken(f"the answer of {self.url}{path} broke off: {error or type(error).__name__}") from None
        finally:
            response.release()

    async def _retried(self, method: str, path: str, body: dict[str, Any] | None) -> aiohttp.ClientResponse:
        p = self.patience
        end = time.monotonic() + p.away if p.away else None
        attempts = stamina.retry_context(
            on=lambda error: _backoff(error, _WAIT_LIMIT if end is None else end - time.monotonic()),
            attempts=None if p.away else p.attempts, timeout=p.away, wait_initial=p.wait, wait_max=p.wait_max,
            wait_jitter=p.wait,
        )
        async for attempt in attempts:
            with attempt:
                return await self._once(method, path, body)
        raise AssertionError("stamina returns or raises")

    async def _once(self, method: str, path: str, body: dict[str, Any] | None) -> aiohttp.ClientResponse:
        assert self._session is not None, "use Http as a context manager"
        try:
            response = await self._session.request(method, self.url + path, json=body)
            if response.status == 200:
                return response
            text = await response.read()
            response.release()
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise NotAnEndpoint(f"{self.url} is no URL: give it as http://HOST:PORT") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            why = error or "no answer in time"
            raise Unreachable(f"no LLM endpoint answers at {self.url} ({why}): start it or correct the URL") from None
        raise problem(self.url + path, response.status, response.headers.get("Retry-After"), text)


def base_url(url: str) -> str:
    """The URL without a trailing slash or `/v1`, so that both ways of giving it work."""
    return url.strip().rstrip("/").removesuffix("/v1")


def problem(url: str, status: int, retry_after: str | None, body: bytes) -> EndpointProblem:
    """The typed error for a status that is not 200."""
    code, message = wire.error_text(body)
    said = f": {message}" if message else ""
    if status in (401, 403):
        return Unauthorized(f"{url} refuses the API key ({status}){said}; name its variable with --api-key-env")
    if status == 429 or status >= 500:
        return Overloaded(f"{url} answered {status} to every try{said}; wait, or lower the load", _seconds(retry_after))
    if is_overflow(code, message):
        return ContextOverflow(
            f"prompt and answer do not fit into the model's context{said}; lower max_tokens or the prompt's limit"
        )
    if status == 404 and ("model" in message.lower() or "model" in code):
        return WrongModel(f"{url} does not serve this model{said}; name one that it lists under /v1/models")
    if status in (404, 405, 501):
        return NotAnEndpoint(f"{url} does not exist there ({status}){said}; check the URL")
    return Refused(f"{url} refused the request ({status}){said}")


def is_overflow(code: str, message: str) -> bool:
    text = f"{code} {message}".lower()
    return any(sign in text for sign in _OVERFLOW)


def _backoff(error: Exception, left: float) -> bool | float:
    """For stamina: whether to try again, or after how many seconds. What an endpoint asks for is followed no longer
    than there is patience left; then it is tried for the last time."""
    if isinstance(error, Overloaded):
        wait = error.retry_after
        return True if wait is None else min(wait, max(0.0, left))
    return isinstance(error, Unreachable)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; its date form is left to the usual backoff."""
    try:
        value = float(retry_after or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
