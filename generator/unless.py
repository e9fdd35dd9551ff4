"""Waiting for work only as long as it is worth it."""
from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from common.background import end_all

T = TypeVar("T")


class Interrupted(Exception):
    """What was waited for is not worth waiting for any longer."""


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
    """The result of `work`; Interrupted, and the work ended, where the event comes before or `seconds` have passed."""
    if event.is_set():
        work.close()
        raise Interrupted("it is too late")
    task, happened = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait((task, happened), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_all([task, happened])
    if task.cancelled():
        raise Interrupted("it took too long")
    return task.result()
