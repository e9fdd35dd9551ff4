"""Leases: one holder, fencing numbers, expiry, loss."""
from __future__ import annotations

import asyncio
import os
import signal
import sys

import msgspec
import pytest

from common.bus import LEASES, Bus, LeaseHeld, LeaseLost, Server, read_holder
from tests.bus.messages import eventually
from tests.bus.test_work import ROOT


async def test_second_claimant_is_told_who_holds_it(bus: Bus) -> None:
    async with bus.lease("device.a", "worker-1", {"pid": 7}) as lease:
        with pytest.raises(LeaseHeld, match=r"device\.a is held by worker-1"):
            async with bus.lease("device.a", "worker-2"):
                pass
        await lease.check()
        entry = await bus.table(LEASES).get("device.a")
        assert entry is not None and entry.data is not None
        assert read_holder(entry.data).value == {"pid": 7}


async def test_released_lease_is_free_and_the_fencing_number_grows(bus: Bus) -> None:
    revisions = []
    for holder in ("one", "two", "three"):
        async with bus.lease("device.b", holder) as lease:
            revisions.append(lease.revision)
    assert revisions == sorted(set(revisions))
    assert "device.b" not in await bus.table(LEASES).keys()


async def test_lease_is_kept_longer_than_its_time(bus: Bus) -> None:
    async with bus.lease("device.c", "steady") as lease:
        await asyncio.sleep(1.5 * bus.settings.lease_seconds)
        await lease.check()
        assert not lease.lost.is_set()


async def test_lease_taken_away_is_noticed(bus: Bus) -> None:
    async with bus.lease("device.d", "former") as lease:
        await bus.table(LEASES).delete("device.d")
        async with bus.lease("device.d", "next") as successor:
            assert successor.revision > lease.revision
            with pytest.raises(LeaseLost, match="former no longer holds"):
                await lease.check()
            assert lease.lost.is_set()
            await successor.check()
    async with bus.lease("device.d", "free again"):
        pass


async def test_lost_event_fires_without_asking(bus: Bus) -> None:
    async with bus.lease("device.e", "former") as lease:
        await bus.table(LEASES).delete("device.e")
        await asyncio.wait_for(lease.lost.wait(), 20)


HOLDER = """
import asyncio, sys, msgspec
from common.bus import Bus, BusSettings

async def main():
    bus = await Bus.connect("doomed", msgspec.json.decode(sys.argv[1], type=BusSettings))
    async with bus.lease("device.f", "doomed") as lease:
        print(lease.revision, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_lease_of_a_killed_process_runs_out(bus: Bus, nats_server: Server) -> None:
    settings = msgspec.structs.replace(nats_server.settings, url=None, token=None)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, msgspec.json.encode(settings).decode(),
        stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    revision = int(await asyncio.wait_for(process.stdout.readline(), 30))
    process.send_signal(signal.SIGKILL)
    await process.wait()

    async def take() -> int:
        while True:
            try:
                async with bus.lease("device.f", "heir") as lease:
                    return lease.revision
            except LeaseHeld as error:
                assert error.holder in ("doomed", "someone who just released it"), "it runs out between two calls"
                await asyncio.sleep(0.05)

    assert await asyncio.wait_for(take(), 30) > revision


async def test_one_of_many_claimants_wins(bus: Bus) -> None:
    winners: list[int] = []
    over = asyncio.Event()

    async def claim(n: int) -> None:
        try:
            async with bus.lease("device.g", f"w{n}"):
                winners.append(n)
                await over.wait()
        except LeaseHeld:
            pass

    claims = [asyncio.create_task(claim(n)) for n in range(8)]
    await eventually(lambda: sum(c.done() for c in claims) == 7)
    assert len(winners) == 1
    over.set()
    await asyncio.gather(*claims)
