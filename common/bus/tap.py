"""Everything under a pattern, whatever it is: what the streams hold, then what comes, undecoded and in one feed."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime

from common.bus.bus import Bus
from common.bus.delivery import Delivery
from common.bus.streams import BELL, STREAMS, Stream
from common.messages import PREFIX

Show = Callable[[Delivery], None]


def full_pattern(pattern: str) -> str:
    """`evt.>` means `specgen.v1.evt.>`; a pattern that begins with the prefix or `$` stays."""
    return pattern if pattern.startswith((PREFIX + ".", "$")) else f"{PREFIX}.{pattern}"


def within(pattern: str, root: str) -> str | None:
    """The part of a pattern that lies under `root.>`; None where they do not meet."""
    words, roots = pattern.split("."), root.split(".")
    for n, word in enumerate(roots):
        if n >= len(words) or words[n] not in (word, "*", ">"):
            return None
        if words[n] == ">":
            return f"{root}.>"
    rest = words[len(roots) :]
    return ".".join([*roots, *rest]) if rest else None


async def tap(bus: Bus, pattern: str, since: datetime | None, show: Show) -> None:
    """Show what was stored since a moment, by time, then everything live; runs until cancelled.

    Streams are followed, so that nothing is shown twice or left out between history and live; what no stream holds, and
    the work queues (whose history is what still waits), come from a live subscription.
    """
    parts = {stream: part for stream in STREAMS if (part := within(pattern, stream.root))} if since else {}
    queues = [part for stream, part in parts.items() if stream.retention == "workqueue"]
    streams = {stream: part for stream, part in parts.items() if stream.retention != "workqueue"}
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(bus.listen(pattern, raw=True))
        followers = [bus.follow(part, since=since or "new", raw=True) for part in streams.values()]
        feeds = [await stack.enter_async_context(follower) for follower in followers]
        past = [delivery for part in queues for delivery in await bus.history(part, raw=True)]
        for feed in feeds:
            past += [delivery async for delivery in feed.past()]
        for delivery in sorted(past, key=lambda d: d.time):
            if since is not None and delivery.time >= since.timestamp():
                show(delivery)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(live, show, _unfollowed(pattern, list(streams))))
            for feed in feeds:
                group.create_task(_pump(feed, show, lambda _: True))


def _unfollowed(pattern: str, followed: list[Stream]) -> Callable[[str], bool]:
    """Which live subjects to show: those no follower brings, and bells only where they were asked for."""
    hidden = [stream.root + "." for stream in followed]
    if not pattern.startswith(BELL):
        hidden.append(BELL + ".")
    return lambda subject: not subject.startswith(tuple(hidden))


async def _pump(feed: AsyncIterator[Delivery], show: Show, wanted: Callable[[str], bool]) -> None:
    async for delivery in feed:
        if wanted(delivery.subject):
            show(delivery)
