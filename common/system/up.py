"""Whether a system is up already."""
from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from common.bus import BusSettings, Unreachable
from common.bus.discovery import find_server


async def is_up(settings: BusSettings) -> bool:
    """True where the settings name a server, or one announced in `state_dir` answers.

    A named server that does not answer is not replaced by one of our own: connecting to it then says so.
    """
    try:
        url, _ = find_server(settings)
    except Unreachable:
        return False
    if settings.url:
        return True
    parts = urlsplit(url)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, parts.port), 2.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
