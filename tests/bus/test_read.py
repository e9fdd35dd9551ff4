"""Reading: live, in order, history then live; slow readers; what cannot be decoded."""
from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgpack  # type: ignore[import-untyped]
from nats.aio.client import Client

from common.bus import Bus, Server
from common.bus.streams import STREAMS
from common.messages import DeadLetter
from tests.bus.messages import fact, token


async def raw(server: Server, subject: str, data: bytes) -> None:
    """Publish bytes of no message class, as a foreign program would; what a stream keeps is stored then."""
    client = Client()
    await client.connect(servers=[server.settings.url or ""], token=server.settings.token)
    if any(subject.startswith(f"{stream.root}.") for stream in STREAMS):
        await client.jetstream().publish(subject, data)
    else:
        await client.publish(subject, data)
        await client.flush()
    await client.close()


async def test_listen_hears_what_is_emitted_after_it_began(bus: Bus) -> None:
    await bus.emit(token("live", 0))
    async with bus.listen("specgen.v1.tok.live.>") as feed:
        for seq in (1, 2, 3):
            await bus.emit(token("live", seq))
        heard = [await asyncio.wait_for(anext(feed), 10) for _ in range(3)]
    assert [d.message.seq for d in heard if d.message] == [1, 2, 3]  # type: ignore[attr-defined]


async def test_slow_listener_loses_messages_and_nobody_else_does(bus: Bus) -> None:
    async with bus.listen("specgen.v1.tok.slow.>", bound=10) as slow, bus.listen("specgen.v1.tok.slow.>") as quick:
        for seq in range(500):
            await bus.emit(token("slow", seq))
        await bus.barrier()
        assert [(await anext(quick)).message.seq for _ in range(500)] == list(range(500))  # type: ignore[union-attr]
        assert slow.dropped == 490
        assert [(await anext(slow)).message.seq for _ in range(10)] == list(range(10))  # type: ignore[union-attr]
        assert bus.connected


async def test_follow_gives_history_then_live(bus: Bus) -> None:
    for n in (1, 2, 3):
        await bus.record(fact("both", n))
    async with bus.follow("specgen.v1.evt.both.>") as feed:
        past = [d async for d in feed.past()]
        assert [(d.message.n, d.caught_up) for d in past] == [(1, False), (2, False), (3, True)]  # type: ignore[union-attr]
        await bus.record(fact("both", 4))
        assert (await asyncio.wait_for(anext(feed), 10)).message == fact("both", 4)


async def test_empty_history_ends_at_once(bus: Bus) -> None:
    async with bus.follow("specgen.v1.evt.empty.>") as feed:
        assert feed.caught_up
        assert [d async for d in feed.past()] == []


async def test_follow_from_a_place(bus: Bus) -> None:
    sequences = [await bus.record(fact("place", n)) for n in range(5)]
    pattern = "specgen.v1.evt.place.>"
    assert [d.sequence for d in await bus.history(pattern, since=sequences[3])] == sequences[3:]
    long_ago, soon = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    assert len(await bus.history(pattern, since=long_ago)) == 5
    assert await bus.history(pattern, since=soon) == []
    assert [d.sequence for d in await bus.history(pattern, since="last")] == sequences[-1:]
    async with bus.follow(pattern, since="new") as feed:
        await bus.record(fact("place", 9))
        assert (await asyncio.wait_for(anext(feed), 10)).message == fact("place", 9)


async def test_several_patterns_keep_stream_order(bus: Bus) -> None:
    for n, run in enumerate(["x1", "x2", "x3", "x1", "x2"]):
        await bus.record(fact(run, n))
    history = await bus.history("specgen.v1.evt.x1.>", "specgen.v1.evt.x2.>")
    assert [d.message.n for d in history] == [0, 1, 3, 4]  # type: ignore[union-attr]


async def test_reader_that_stops_reading_loses_nothing(bus: Bus) -> None:
    async with bus.follow("specgen.v1.evt.patient.>") as feed:
        await asyncio.gather(*(bus.record(fact("patient", n)) for n in range(1500)))
        seen = {(await asyncio.wait_for(anext(feed), 10)).message.n for _ in range(1500)}  # type: ignore[union-attr]
    assert seen == set(range(1500))


async def test_unreadable_message_becomes_one_dead_letter(bus: Bus, nats_server: Server) -> None:
    await bus.record(fact("bad", 1))
    await raw(nats_server, "specgen.v1.evt.bad.run.ended", msgpack.packb({"run": "bad", "n": "not a number"}))
    await bus.record(fact("bad", 3))
    for _ in range(2):
        assert [d.message.n for d in await bus.history("specgen.v1.evt.bad.>")] == [1, 3]  # type: ignore[union-attr]
    letters = [d.message for d in await bus.history("specgen.v1.dead.>") if isinstance(d.message, DeadLetter)]
    (letter,) = [letter for letter in letters if ".bad." in letter.subject_was]
    assert "Expected `int`" in letter.reason
    assert msgpack.unpackb(letter.data)["n"] == "not a number"


async def test_unreadable_last_message_does_not_hide_the_end_of_history(bus: Bus, nats_server: Server) -> None:
    await raw(nats_server, "specgen.v1.evt.worst.run.ended", b"\xc1 not messagepack")
    assert await bus.history("specgen.v1.evt.worst.>") == []


async def test_unreadable_live_message_does_not_end_a_listener(bus: Bus, nats_server: Server) -> None:
    async with bus.listen("specgen.v1.tok.noise.>") as feed:
        await raw(nats_server, "specgen.v1.tok.noise.1.main", b"\xc1")
        await bus.emit(token("noise", 1))
        assert (await asyncio.wait_for(anext(feed), 10)).message.seq == 1  # type: ignore[union-attr]


async def test_unreadable_dead_letter_does_not_breed_another(bus: Bus, nats_server: Server) -> None:
    await raw(nats_server, "specgen.v1.dead.stranger", b"\xc1")
    before = await bus.subjects("specgen.v1.dead.>")
    await bus.history("specgen.v1.dead.stranger")
    assert await bus.subjects("specgen.v1.dead.>") == before


async def test_subject_without_a_class_comes_raw(bus: Bus, nats_server: Server) -> None:
    async with bus.listen("specgen.v1.kv.>") as feed:
        await raw(nats_server, "specgen.v1.kv.gpu.later", b"\x01")
        delivery = await asyncio.wait_for(anext(feed), 10)
    assert (delivery.message, delivery.data) == (None, b"\x01")


async def test_after_a_barrier_the_server_has_everything(bus: Bus, nats_server: Server) -> None:
    async with await Bus.connect("sender", nats_server.settings) as sender:
        for seq in range(3000):
            await sender.emit(token("barrier", seq, text="x" * 500))
        await sender.barrier()
        sender._connection._nc._transport._io_writer.transport.abort()  # type: ignore[union-attr]
    async with bus.follow("specgen.v1.tok.barrier.>") as feed:
        for seq in range(3000):
            assert (await asyncio.wait_for(anext(feed), 10)).message.seq == seq  # type: ignore[union-attr]


async def test_readers_leave_no_consumer_behind(bus: Bus) -> None:
    await bus.record(fact("tidy", 1))
    await bus.history("specgen.v1.evt.tidy.>")
    await bus.barrier()

    async def none_left() -> None:
        while (await bus._connection.api("CONSUMER.NAMES.SG_EVT"))["consumers"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    await asyncio.wait_for(none_left(), 20)
