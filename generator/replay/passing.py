"""A proxy before an endpoint that passes everything on. What it hears or adds is for a subclass to say."""
from __future__ import annotations

from typing import Protocol, Self

import aiohttp
from aiohttp import web

from common.logs import get_logger
from generator.replay.listen import MAX_BODY

log = get_logger()
_NOT_PASSED_ON = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "content-encoding"}


class Ear(Protocol):
    """Hears one answer as it passes."""

    def hear(self, chunk: bytes) -> None: ...


class Passing:
    """An async context manager; serve its `app()` with `listen`. A client that leaves ends its request upstream, and a
    stream that breaks off upstream breaks off before the client."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._http = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    @property
    def http(self) -> aiohttp.ClientSession:
        assert self._http is not None, "use the proxy as a context manager"
        return self._http

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._pass)
        return app

    # ---- for a subclass

    async def sent(self, request: web.Request, data: bytes) -> bytes:
        """The body that goes upstream in place of `data`. An HTTP exception answers the client instead."""
        return data

    def began(self, request: web.Request, data: bytes) -> Ear | None:
        """Upstream has begun to answer with 200."""
        return None

    def ended(self, ear: Ear) -> None:
        """The answer is over, whether it was whole or not."""

    # ----

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        data = await self.sent(request, await request.read())
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _NOT_PASSED_ON}
        headers["Accept-Encoding"] = "identity"
        try:
            answer = await self.http.request(
                request.method, self.upstream + request.path_qs, data=data or None, headers=headers
            )
        except aiohttp.ClientError as error:
            message = f"the endpoint behind this proxy does not answer: {error}"
            return web.json_response({"error": {"message": message, "code": 502}}, status=502)
        ear = self.began(request, data) if answer.status == 200 else None
        try:
            return await self._copy(request, answer, ear)
        finally:
            answer.close()
            if ear is not None:
                self.ended(ear)

    async def _copy(
        self, request: web.Request, answer: aiohttp.ClientResponse, ear: Ear | None
    ) -> web.StreamResponse:
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _NOT_PASSED_ON}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                if ear is not None:
                    ear.hear(chunk)
                await response.write(chunk)
        except ConnectionResetError:
            log.info("proxy.client_left")
        except aiohttp.ClientError as error:
            # A broken stream must look broken to the client as well.
            log.warning("proxy.upstream_broke", error=str(error))
            if request.transport is not None:
                request.transport.abort()
        return response
