"""A lease whose renewals the server refuses, as on a full disk: tried again while its time lasts, then lost."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.bus import BusError, LeaseLost, StreamFull
from common.bus.connection import ApiError
from common.bus.lease import Lease


class Bucket:
    """Stands for the table SG_LEASE; the first `refusals` updates are refused, and each one after if there are none."""

    def __init__(self, refusal: BusError, refusals: int | None = None) -> None:
        self.updates = 0
        self._refusal = refusal
        self._refusals = refusals

    async def create(self, key: str, value: bytes) -> int:
        return 1

    async def update(self, key: str, value: bytes, revision: int) -> int:
        self.updates += 1
        if self._refusals is None or self.updates <= self._refusals:
            raise self._refusal
        return revision + 1

    async def get(self, key: str) -> None:
        raise self._refusal

    async def delete(self, key: str, revision: int) -> None:
        pass


def lease(bucket: Any, seconds: float) -> Lease:
    return Lease(bucket, bucket, "device.x", "worker-1", {}, seconds)


@pytest.mark.parametrize("refusal", [StreamFull("no room"), ApiError(10047, "insufficient storage")])
async def test_a_lease_that_cannot_be_renewed_is_lost_when_its_time_is_up(refusal: BusError) -> None:
    bucket = Bucket(refusal)
    async with lease(bucket, 0.3) as held:
        await asyncio.wait_for(held.lost.wait(), 20)
    assert bucket.updates > 1, "one refusal is not the end"


async def test_a_lease_outlives_a_refusal_that_passes() -> None:
    bucket = Bucket(StreamFull("no room"), refusals=1)
    async with lease(bucket, 60.0) as held:
        held._seconds = 0.03  # the next renewals come soon, while the first taking is good for a minute
        async with asyncio.timeout(20):
            while held._current == held.revision:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    assert bucket.updates >= 2


async def test_a_lease_that_the_server_will_not_show_is_not_confirmed() -> None:
    async with lease(Bucket(ApiError(10074, "bad request")), 30.0) as held:
        with pytest.raises(LeaseLost):
            await held.check()
        assert held.lost.is_set()
