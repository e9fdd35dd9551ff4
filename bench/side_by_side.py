"""Several judges on one device take what is waiting, each with a little in hand."""
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from common.judge import Judge

T = TypeVar("T")
_AHEAD = 2
"""Candidates that a judge has in hand: one compiles while another is on the device."""


async def work_off(judge: Judge, waiting: deque[T], validate: Callable[[T, Judge], Awaitable[None]]) -> None:
    """One judge's share of what several take from the same queue, until it is empty."""

    async def work() -> None:
        while waiting:
            await validate(waiting.popleft(), judge)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AHEAD):
            group.create_task(work())
