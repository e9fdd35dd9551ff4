"""The work of each stage as the pool policies see it, and as the rest of the system is told. Pure."""
from __future__ import annotations

from collections.abc import Mapping

from common.messages import Stage
from scheduler.book import Book
from scheduler.effects import Tell
from scheduler.estimates import Estimates
from scheduler.fleet import Fleet
from scheduler.pools import Load


def loads_of(
    book: Book, fleet: Fleet, estimates: Estimates, coming: Mapping[Stage, float], now: float
) -> dict[Stage, Load]:
    loads = {}
    for stage in Stage:
        fixed = [d for d in fleet.devices.values() if d.stages == {stage} and not d.health.out]
        in_hand = _in_hand(stage, book, estimates, now)
        loads[stage] = Load(
            queue=book.queue(stage), ready=in_hand + _at_once(stage, book, estimates), in_hand=in_hand,
            seconds=estimates.device[stage].value, coming=coming[stage], slots=fleet.slots[stage], fixed=len(fixed),
            idle=sum(device.hold is None for device in fixed),
        )
    return loads


def _in_hand(stage: Stage, book: Book, estimates: Estimates, now: float) -> int:
    """Requests whose worker needs nothing but a device: issued as long ago as it usually takes to compile."""
    compiling = estimates.compile[stage].value
    return sum(
        not r.on_device and r.issued_at is not None and now - r.issued_at >= compiling
        for r in book.issued[stage].values()
    )


def _at_once(stage: Stage, book: Book, estimates: Estimates) -> int:
    """Requests that would use a device now if they were issued: where compiling takes next to nothing, all."""
    quick = estimates.compile[stage].value < 0.1 * estimates.device[stage].value
    return book.waiting[stage].count if quick else 0


def depth(book: Book, fleet: Fleet, estimates: Estimates, limit: int, *, full: bool) -> Tell:
    """What waits, for those who decide whether to make more of it."""
    waits = {}
    for stage in Stage:
        device_seconds = (book.queue(stage) + 0.5 * book.on_device[stage]) * estimates.device[stage].value
        free = fleet.serving[stage] > book.on_device[stage] and not book.queue(stage)
        waits[stage] = 0.0 if free else device_seconds / max(1, fleet.serving[stage])
    return Tell(
        waiting={stage: book.waiting[stage].count for stage in Stage}, running=dict(book.on_device),
        idle=sum(device.state == "idle" and bool(device.role) for device in fleet.devices.values()),
        wait_seconds=waits, room=max(0, limit - book.waiting_total()), full=full,
    )
