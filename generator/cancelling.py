"""Ending what runs: for certain, and as soon as something happens."""
from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
AGAIN_SECONDS = 2.0
"""How long a cancelled task may take to end before it is cancelled once more."""


class Interrupted(Exception):
    """What was waited for is not worth waiting for any longer."""


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel until each has ended: before Python 3.12 `asyncio.wait_for`, which nats-py uses, swallows a cancellation
    that arrives together with its result."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN_SECONDS)


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
    """The result of `work`; Interrupted, and the work ended, where the event comes before or `seconds` have passed."""
    if event.is_set():
        work.close()
        raise Interrupted("it is too late")
    task, happened = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait((task, happened), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end([task, happened])
    if task.cancelled():
        raise Interrupted("it took too long")
    return task.result()
