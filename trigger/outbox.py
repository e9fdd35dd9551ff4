"""Requests on their way: what the stream has no room for is kept, and sent once it has."""
from __future__ import annotations

import asyncio
from collections.abc import Callable

from common.bus import FULL_WAIT, Bus, StreamFull
from common.logs import get_logger
from common.messages import AbortRequest, ForkRequest, StopRequest

log = get_logger()
Request = ForkRequest | StopRequest | AbortRequest


class Outbox:
    """`wanted` says of a request that was kept whether its iteration is still open."""

    def __init__(self, bus: Bus, wanted: Callable[[Request], bool]) -> None:
        self._bus = bus
        self._wanted = wanted
        self._kept: list[Request] = []

    async def send(self, request: Request) -> bool:
        """False where it is kept for later: a full stream is for the operator to mend, and ends no service."""
        try:
            await self._bus.record(request)
        except StreamFull as error:
            log.warning("request.kept", run=request.run, iteration=request.iteration, reason=str(error))
            self._kept.append(request)
            return False
        return True

    async def send_kept(self) -> None:
        """Everything kept once more, in order, but for what nobody wants any longer."""
        kept, self._kept = self._kept, []
        for request in kept:
            if self._wanted(request) and await self.send(request):
                log.info("request.sent_late", run=request.run, iteration=request.iteration)

    async def keep_trying(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(FULL_WAIT)
            await self.send_kept()
