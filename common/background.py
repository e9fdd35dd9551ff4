"""Tasks that live as long as a block: ended with it, and ending it when one of them fails."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

AGAIN_SECONDS = 2.0
"""How long a cancelled task may take to end before it is cancelled once more."""


class Background:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self) -> None:
        await end_all(self._tasks)


async def end_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel until each has ended: before Python 3.12 `asyncio.wait_for`, which nats-py uses, swallows a cancellation
    that arrives together with its result."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN_SECONDS)


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """A failure of a task cancels the block and is raised from it (in an ExceptionGroup)."""
    async with asyncio.TaskGroup() as group:
        tasks = Background(group)
        try:
            yield tasks
        finally:
            await tasks.end()


async def first(*events: asyncio.Event, timeout: float | None = None) -> bool:
    """Wait until one of the events is set; False where `timeout` seconds passed first."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
