"""What arrives for a run, in order."""
from __future__ import annotations

import asyncio

from common.bus import Delivery
from common.messages import CancelRun


class Inbox(asyncio.Queue[object]):
    """A cancellation waits its turn like everything else, but is known as soon as it arrives: its driver may be waiting
    for the endpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = asyncio.Event()
        self.reason = ""
        """Why it was cancelled."""

    def put_nowait(self, item: object) -> None:
        if isinstance(item, Delivery) and isinstance(item.message, CancelRun):
            self.reason = item.message.reason
            self.cancelled.set()
        super().put_nowait(item)
