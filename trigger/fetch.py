"""Reads a delta, with those before it where they did not arrive: the token stream keeps the last minutes."""
from __future__ import annotations

import asyncio

from common.bus import Bus
from common.logs import get_logger
from common.messages import TokenDelta
from trigger.reader import Reader
from trigger.signals import Signal
from trigger.stream import Arrival

log = get_logger()
_TRIES, _PAUSE = 40, 0.05


async def read(bus: Bus, reader: Reader, delta: TokenDelta) -> list[Signal]:
    """The signals that `delta`, and what was missing before it, completes.

    A live message can arrive before the stream has stored those that went before it, so what is not there yet is
    waited for; what the stream has dropped is skipped.
    """
    arrival, signals = reader.read(delta)
    if arrival is not Arrival.GAP:
        return signals
    for _ in range(_TRIES):
        for delivery in await bus.history(delta.subject()):
            if isinstance(delivery.message, TokenDelta):
                signals += _read_stored(reader, delivery.message)
        arrival, found = reader.read(delta)
        if arrival is not Arrival.GAP:
            return signals + found
        await asyncio.sleep(_PAUSE)
    return signals + _skip_to(reader, delta)


def _read_stored(reader: Reader, delta: TokenDelta) -> list[Signal]:
    """The stream is in order: a gap in it will not close."""
    arrival, found = reader.read(delta)
    return _skip_to(reader, delta) if arrival is Arrival.GAP else found


def _skip_to(reader: Reader, delta: TokenDelta) -> list[Signal]:
    log.warning("tokens.lost", run=delta.run, iteration=delta.iteration, before=delta.seq)
    return reader.skip_to(delta)
