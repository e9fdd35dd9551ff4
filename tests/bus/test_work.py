"""Taking work: priority, sharing, giving back, keeping, dead letters."""
from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from common.bus import Bus, BusError, Server
from common.messages import DeadLetter, Job
from tests.bus.messages import job, queues
from tests.bus.test_read import raw

ROOT = Path(__file__).parents[2]


def name_of(task: object) -> str:
    message = getattr(task, "message", None)
    assert isinstance(message, Job)
    return message.candidate


async def test_highest_priority_first_then_arrival(bus: Bus) -> None:
    for candidate, priority in [("low", 2), ("mid1", 1), ("mid2", 1), ("high", 0)]:
        await bus.record(job("rank", candidate, priority))
    async with bus.work(queues("rank"), durable="rank", ack_wait=5) as work:
        order = []
        for _ in range(4):
            task = await work.next(10)
            order.append(name_of(task))
            assert task is not None and task.delivery_count == 1
            await task.done()
        assert await work.next(0.05) is None
    assert order == ["high", "mid1", "mid2", "low"]
    assert await bus.subjects("specgen.v1.job.*.*.rank.>") == {}


async def test_bell_wakes_a_worker_that_polls_rarely(bus: Bus) -> None:
    async with bus.work(queues("bell"), durable="bell", ack_wait=5, poll=600) as work:
        waiting = asyncio.create_task(work.next(600))
        await asyncio.sleep(0.2)
        await bus.record(job("bell", "c1", 2))
        task = await asyncio.wait_for(waiting, 20)
        assert task is not None
        waiting = asyncio.create_task(work.next(600))
        await asyncio.sleep(0.2)
        await task.retry()
        again = await asyncio.wait_for(waiting, 20)
        assert again is not None and again.delivery_count == 2
        await again.done()


async def test_workers_share_a_queue(bus: Bus) -> None:
    for n in range(20):
        await bus.record(job("share", f"c{n}"))
    taken: list[str] = []

    async def worker() -> None:
        async with bus.work(queues("share"), durable="share", ack_wait=5) as work:
            while (task := await work.next(0.5)) is not None:
                taken.append(name_of(task))
                await asyncio.sleep(0.005)
                await task.done()

    await asyncio.gather(*(worker() for _ in range(3)))
    assert sorted(taken) == sorted(f"c{n}" for n in range(20))


async def test_delayed_retry_comes_back_later(bus: Bus) -> None:
    await bus.record(job("later", "c1"))
    async with bus.work(queues("later"), durable="later", ack_wait=5, poll=0.05) as work:
        first = await work.next(10)
        assert first is not None
        await first.retry(delay=1.0)
        assert await work.next(0.1) is None
        second = await work.next(20)
        assert second is not None and second.delivery_count == 2
        await second.done()


async def test_long_work_is_kept(bus: Bus) -> None:
    await bus.record(job("long", "c1"))
    async with bus.work(queues("long"), durable="long", ack_wait=0.8, poll=0.05) as work:
        task = await work.next(10)
        assert task is not None
        assert await work.next(2.0) is None, "held work was delivered a second time"
        await task.done()
    assert await bus.subjects("specgen.v1.job.*.*.long.>") == {}


async def test_worker_that_ends_gives_its_work_back_at_once(bus: Bus) -> None:
    await bus.record(job("back", "c1"))
    async with bus.work(queues("back"), durable="back", ack_wait=600) as work:
        assert await work.next(10) is not None
    async with bus.work(queues("back"), durable="back", ack_wait=600) as work:
        task = await work.next(20)
        assert task is not None and task.delivery_count == 2
        await task.done()


KILLED = """
import asyncio, sys, msgspec
from common.bus import Bus, BusSettings

async def main():
    settings = msgspec.json.decode(sys.argv[1], type=BusSettings)
    bus = await Bus.connect("doomed", settings)
    async with bus.work([sys.argv[2]], durable="killed", ack_wait=0.5) as work:
        task = await work.next(30)
        print(task.message.candidate, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_work_of_a_killed_process_comes_back(bus: Bus, nats_server: Server) -> None:
    await bus.record(job("killed", "c1"))
    pattern = queues("killed")[0]
    settings = msgspec.structs.replace(nats_server.settings, url=None, token=None)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, msgspec.json.encode(settings).decode(), pattern,
        stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), 30)).strip() == b"c1"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    async with bus.work([pattern], durable="killed", ack_wait=0.5, poll=0.1) as work:
        task = await work.next(30)
        assert task is not None and task.delivery_count >= 2
        await task.done()


async def letters(bus: Bus, run: str) -> list[DeadLetter]:
    found = [d.message for d in await bus.history("specgen.v1.dead.>")]
    return [letter for letter in found if isinstance(letter, DeadLetter) and f".{run}." in letter.subject_was]


async def test_rejected_work_is_a_dead_letter_and_never_comes_again(bus: Bus) -> None:
    await bus.record(job("reject", "c1"))
    async with bus.work(queues("reject"), durable="reject", ack_wait=0.4, poll=0.05) as work:
        task = await work.next(10)
        assert task is not None
        await task.reject("no such device")
        assert await work.next(0.6) is None
    (letter,) = await letters(bus, "reject")
    assert (letter.source, letter.reason) == ("test", "no such device")
    assert msgspec.msgpack.decode(letter.data, type=Job) == job("reject", "c1")


async def test_unreadable_work_is_a_dead_letter_and_the_next_is_taken(bus: Bus, nats_server: Server) -> None:
    await raw(nats_server, "specgen.v1.job.validate.p0.garbled.1.c1", b"\xc1\xc1")
    await bus.record(job("garbled", "c2"))
    async with bus.work(queues("garbled"), durable="garbled", ack_wait=5) as work:
        task = await work.next(20)
        assert name_of(task) == "c2"
        assert task is not None
        await task.done()
    assert len(await letters(bus, "garbled")) == 1
    assert await bus.subjects("specgen.v1.job.*.*.garbled.>") == {}


async def test_purged_work_is_not_delivered(bus: Bus) -> None:
    for n in range(5):
        await bus.record(job("purged", f"c{n}"))
    async with bus.work(queues("purged"), durable="purged", ack_wait=5) as work:
        held = await work.next(10)
        assert await bus.purge("specgen.v1.job.*.*.purged.>") == 5
        assert await work.next(0.1) is None
        assert held is not None
        await held.done()


async def test_overlapping_queues_are_refused(bus: Bus) -> None:
    async with bus.work(["specgen.v1.job.validate.p0.overlap.>"], durable="overlap-a", ack_wait=5):
        with pytest.raises(BusError, match="cannot take work"):
            await bus.work(["specgen.v1.job.validate.*.overlap.>"], durable="overlap-b", ack_wait=5).__aenter__()
