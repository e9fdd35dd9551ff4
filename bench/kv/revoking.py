"""All of a pool is revoked and given back: idle, or while loads hold it."""
from __future__ import annotations

import time
from collections.abc import Sequence

from bench.kv.child import PoolChild
from kvstore.engine.slots import Slots
from kvstore.engine.tier import Tier
from kvstore.engine.transfers import Transfers

_JOBS = range(10_000, 10_008)
_BEGUN_SECONDS = 0.005


def revoke(pool: PoolChild, tier: Tier, transfers: Transfers, keys: Sequence[bytes], *, busy: bool) -> float:
    """Seconds from the revocation of every chunk to the last acknowledgement, of a pool that holds all of `keys`.
    RuntimeError where it does not, or does not get the chunks back."""
    if busy:
        begin_loads(tier, transfers, keys)
    else:
        pinned(tier, keys)
    told = pool.ask("shrink", chunks=pool.ask("status")["chunks"])
    end_loads(transfers)
    if told["leaving"]:
        raise RuntimeError(f"{told['leaving']} chunks were not given back")
    return float(told["seconds"])


def begin_loads(tier: Tier, transfers: Transfers, keys: Sequence[bytes]) -> None:
    """Eight of all the blocks, one after the other; the first is under way."""
    slots = pinned(tier, keys)
    for job in _JOBS:
        transfers.submit(job, "load", range(len(slots)), slots)
    time.sleep(_BEGUN_SECONDS)


def end_loads(transfers: Transfers) -> None:
    """However they end."""
    transfers.wait(_JOBS)
    transfers.finished()
    transfers.take_failed()


def pinned(tier: Tier, keys: Sequence[bytes]) -> Slots:
    """Where the blocks are, held for a load. RuntimeError where one of them is not there."""
    tier.find("pinned", keys, 0)
    slots = tier.pin(keys)
    if (there := sum(len(part.rows) for part in slots.parts)) != len(keys):
        raise RuntimeError(f"{there} of {len(keys)} blocks are there to be held")
    return slots
