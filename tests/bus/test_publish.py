"""Storing messages: sequences, identity, refusals."""
from __future__ import annotations

import asyncio

import msgpack  # type: ignore[import-untyped]
import pytest

from common.bus import AlreadyThere, Bus, Server, StreamFull, TooLarge
from tests.bus.messages import fact, job, token


async def test_recorded_facts_come_back_in_order(bus: Bus) -> None:
    sequences = [await bus.record(fact("order", n)) for n in range(1, 6)]
    assert sequences == sorted(sequences)
    history = await bus.history("specgen.v1.evt.order.>")
    assert [d.message for d in history] == [fact("order", n) for n in range(1, 6)]
    assert [d.sequence for d in history] == sequences
    assert [d.caught_up for d in history] == [False] * 4 + [True]


async def test_wire_is_plain_messagepack(bus: Bus) -> None:
    await bus.record(fact("plain", 7))
    (delivery,) = await bus.history("specgen.v1.evt.plain.>")
    assert msgpack.unpackb(delivery.data) == {"run": "plain", "n": 7, "at": 7.0, "reason": "iterations"}


async def test_same_id_is_stored_once(bus: Bus) -> None:
    first = await bus.record(fact("once", 1), msg_id="once-1")
    assert await bus.record(fact("once", 1), msg_id="once-1") == first
    assert len(await bus.history("specgen.v1.evt.once.>")) == 1


async def test_expect_new_refuses_a_taken_subject(bus: Bus) -> None:
    await bus.record(fact("new", 1), expect_new=True)
    with pytest.raises(AlreadyThere, match=r"evt\.new\.run\.ended"):
        await bus.record(fact("new", 2), expect_new=True)


async def test_queue_keeps_one_job_a_subject(bus: Bus) -> None:
    await bus.record(job("single", "c1"))
    with pytest.raises(AlreadyThere):
        await bus.record(job("single", "c1", source="another"))
    assert await bus.subjects("specgen.v1.job.*.*.single.>") == {"specgen.v1.job.validate.p0.single.1.c1": 1}
    assert await bus.purge("specgen.v1.job.*.*.single.>") == 1
    assert await bus.subjects("specgen.v1.job.*.*.single.>") == {}


async def test_queue_can_be_looked_into(bus: Bus) -> None:
    await bus.record(job("look", "a", priority=1))
    await bus.record(job("look", "b", priority=0))
    patterns = ["specgen.v1.job.validate.p0.look.>", "specgen.v1.job.validate.p1.look.>"]
    assert [d.message for d in await bus.history(*patterns)] == [job("look", "a", priority=1), job("look", "b")]


async def test_oversized_message_is_refused_and_the_connection_lives(bus: Bus, nats_server: Server) -> None:
    size = nats_server.settings.max_payload
    with pytest.raises(TooLarge, match="SPECGEN_BUS_MAX_PAYLOAD"):
        await bus.record(job("large", "c1", source="x" * size))
    with pytest.raises(TooLarge):
        await bus.emit(token("large", 0, text="x" * size))
    await bus.record(job("large", "c2", source="x" * (size - 4096)))
    assert await bus.purge("specgen.v1.job.*.*.large.>") == 1


async def test_full_stream_refuses_and_takes_again_after_a_purge(small_bus: Bus) -> None:
    block = "x" * 200_000
    with pytest.raises(StreamFull, match="SPECGEN_BUS_STREAM_MIB"):
        for n in range(20):
            await small_bus.record(job("full", f"c{n}", source=block))
    stored = await small_bus.purge("specgen.v1.job.*.*.full.>")
    assert 3 <= stored <= 6
    await small_bus.record(job("full", "again", source=block))


async def test_a_stream_that_informs_drops_its_oldest(small_bus: Bus) -> None:
    for n in range(20):
        await small_bus.emit(token("flow", n, text="x" * 100_000))
    await small_bus.barrier()
    history = await small_bus.history("specgen.v1.tok.flow.>")
    kept = [d.message.seq for d in history if d.message is not None]  # type: ignore[attr-defined]
    assert 0 < len(kept) < 20
    assert kept == list(range(20))[-len(kept) :]


async def test_nothing_of_one_pattern_shows_under_another(bus: Bus) -> None:
    await asyncio.gather(*(bus.record(fact(run, 1)) for run in ("one", "two")))
    assert {d.subject for d in await bus.history("specgen.v1.evt.one.>")} == {"specgen.v1.evt.one.run.ended"}


async def test_patterns_of_no_stream_or_of_two_are_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="belongs to no stream"):
        await bus.history("specgen.v1.nothing.>")
    with pytest.raises(ValueError, match="one stream"):
        bus.follow("specgen.v1.evt.>", "specgen.v1.res.>")
    with pytest.raises(ValueError, match="work queue"):
        bus.follow("specgen.v1.job.>")
