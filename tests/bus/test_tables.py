"""Key-value tables: revisions, conflicts, watching."""
from __future__ import annotations

import asyncio

import pytest

from common.bus import STATE, AlreadyThere, Bus, KeyChanged
from common.messages import Assignment, Stage


async def test_values_are_messages_or_bytes(bus: Bus) -> None:
    table = bus.table(STATE)
    assignment = Assignment(epoch=3, roles={"cpu-0": (Stage.VALIDATE,)})
    revision = await table.put("roles", assignment)
    entry = await table.get("roles")
    assert entry is not None and entry.revision == revision and entry.decode(Assignment) == assignment
    await table.put("roles", b"raw")
    assert (entry := await table.get("roles")) is not None and entry.data == b"raw"
    assert await table.get("nobody") is None


async def test_create_update_and_delete_are_compare_and_set(bus: Bus) -> None:
    table = bus.table(STATE)
    first = await table.create("cas.key", b"1")
    with pytest.raises(AlreadyThere):
        await table.create("cas.key", b"2")
    second = await table.update("cas.key", b"2", first)
    with pytest.raises(KeyChanged, match="no longer at revision"):
        await table.update("cas.key", b"3", first)
    with pytest.raises(KeyChanged):
        await table.delete("cas.key", first)
    await table.delete("cas.key", second)
    assert await table.get("cas.key") is None
    assert await table.create("cas.key", b"again") > second


async def test_one_of_many_creators_wins(bus: Bus) -> None:
    table = bus.table(STATE)
    results = await asyncio.gather(*(table.create("race", str(n).encode()) for n in range(10)), return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, AlreadyThere) for result in results) == 9


async def test_keys_leave_out_deleted_ones(bus: Bus) -> None:
    table = bus.table(STATE)
    for key in ("list.a", "list.b", "list.c"):
        await table.put(key, b"x")
    await table.delete("list.b")
    assert await table.keys("list.>") == ["list.a", "list.c"]


async def test_watch_shows_what_is_and_what_changes(bus: Bus) -> None:
    table = bus.table(STATE)
    await table.put("watch.a", b"old")
    await table.put("watch.a", b"1")
    async with table.watch("watch.>") as entries:
        assert [(e.key, e.data) async for e in entries.past()] == [("watch.a", b"1")]
        await table.put("watch.b", b"2")
        await table.delete("watch.a")
        seen = [await asyncio.wait_for(anext(entries), 10) for _ in range(2)]
    assert [(e.key, e.data) for e in seen] == [("watch.b", b"2"), ("watch.a", None)]


async def test_key_with_a_time_to_live_runs_out(bus: Bus) -> None:
    table = bus.table(STATE)
    await table.put("brief", b"1", ttl=1)
    assert await table.keys("brief") == ["brief"]

    async def gone() -> None:
        while await table.get("brief") is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    await asyncio.wait_for(gone(), 20)
    assert await table.create("brief", b"2") > 0


async def test_bad_key_is_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="is no key"):
        await bus.table(STATE).put("with space", b"")
