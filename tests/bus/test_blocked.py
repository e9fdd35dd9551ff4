"""A client whose event loop stands still is cut off by the server: it must come back, and its readers miss nothing."""
from __future__ import annotations

import asyncio
import threading

from common.bus import Bus, Server
from tests.bus.messages import token

BLOCK, COUNT = "x" * 1_000_000, 100
"""More than the server keeps for one client (64 MiB)."""


def flood(server: Server) -> None:
    """Emit from a loop of its own, in another thread."""

    async def emit() -> None:
        async with await Bus.connect("flood", server.settings) as bus:
            for seq in range(COUNT):
                await bus.emit(token("flood", seq, BLOCK))

    asyncio.run(emit())


async def test_blocked_client_is_cut_off_and_its_follower_misses_nothing(bus: Bus, nats_server: Server) -> None:
    pattern = "specgen.v1.tok.flood.>"
    async with bus.follow(pattern) as feed, bus.listen(pattern) as live:
        sender = threading.Thread(target=flood, args=(nats_server,))
        sender.start()
        sender.join()  # blocks this loop on purpose: nothing is read meanwhile
        for seq in range(COUNT):
            assert (await asyncio.wait_for(anext(feed), 60)).message.seq == seq  # type: ignore[union-attr]
        assert bus._connection._nc.stats["reconnects"] > 0, "the server did not cut the client off: nothing was tested"
        await bus.barrier()
        await bus.emit(token("flood", COUNT))
        while (await asyncio.wait_for(anext(live), 60)).message.seq != COUNT:  # type: ignore[union-attr]
            pass
