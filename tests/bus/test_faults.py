"""kill -9 of the server under load: nothing recorded is lost, nothing is read twice, leases and work go on."""
from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.bus import Bus, BusSettings, LeaseLost, Server, ServerFailed, StreamFull, start_server
from common.messages import Job, RunEnded
from tests.bus.messages import eventually, fact, job, kill, queues, restarted, token


async def killer(server: Server, seed: int, kills: int) -> None:
    """Kill the server at seeded moments, each time once it runs again."""
    chance = random.Random(seed)
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        before = server.restarts
        kill(server)
        await eventually(lambda before=before: server.restarts > before)  # type: ignore[misc]


@pytest.mark.parametrize(("seed", "kills"), [(1, 4), pytest.param(2, 40, marks=pytest.mark.soak)])
async def test_facts_under_kills_are_stored_and_read_once(
    bus: Bus, nats_server: Server, seed: int, kills: int
) -> None:
    run = f"facts{seed}"
    written: list[int] = []
    read: list[tuple[int, int]] = []
    ended = asyncio.create_task(killer(nats_server, seed, kills))

    async def write() -> None:
        while not ended.done() or len(written) < 200:
            await bus.record(fact(run, len(written)))
            written.append(len(written))

    async with await Bus.connect("reader", nats_server.settings) as other:

        async def follow() -> None:
            async with other.follow(f"specgen.v1.evt.{run}.>") as feed:
                async for delivery in feed:
                    assert isinstance(delivery.message, RunEnded)
                    read.append((delivery.sequence, delivery.message.n))

        reader = asyncio.create_task(follow())
        await asyncio.gather(write(), ended)
        await eventually(lambda: len({n for _, n in read}) == len(written) or reader.done(), 60)
        reader.cancel()
    assert [sequence for sequence, _ in read] == sorted({sequence for sequence, _ in read}), "a sequence was read twice"
    assert list(dict.fromkeys(n for _, n in read)) == written
    stored = [d.message.n for d in await bus.history(f"specgen.v1.evt.{run}.>")]  # type: ignore[union-attr]
    assert stored == written, "a repeated try was stored twice"


@pytest.mark.parametrize(("seed", "kills"), [(3, 4), pytest.param(4, 40, marks=pytest.mark.soak)])
async def test_every_job_gets_a_result_under_kills(bus: Bus, nats_server: Server, seed: int, kills: int) -> None:
    run = f"work{seed}"
    jobs = f"specgen.v1.job.*.*.{run}"
    results: dict[str, int] = {}
    ended = asyncio.create_task(killer(nats_server, seed, kills))
    sent: list[str] = []

    async def submit() -> None:
        while not ended.done() or len(sent) < 60:
            sent.append(f"c{len(sent)}")
            await bus.record(job(run, sent[-1], priority=len(sent) % 3))
            await asyncio.sleep(0.01)

    async def worker(name: str) -> None:
        async with (
            await Bus.connect(name, nats_server.settings) as own,
            own.work(queues(run), durable=run, ack_wait=1.0, poll=0.1) as work,
        ):
            while not submitted.done() or len(results) < len(sent) or await own.subjects(f"{jobs}.>"):
                task = await work.next(0.5)
                if task is not None:
                    assert isinstance(task.message, Job)
                    await asyncio.sleep(0.005)
                    await own.record(fact(f"{run}-{task.message.candidate}", 1), msg_id=task.subject)
                    results[task.message.candidate] = results.get(task.message.candidate, 0) + 1
                    await task.done()

    submitted = asyncio.create_task(submit())
    await asyncio.wait_for(asyncio.gather(submitted, worker("w1"), worker("w2"), ended), 200)
    assert set(results) == set(sent)
    assert await bus.subjects(f"{jobs}.>") == {}


async def test_live_feed_and_token_stream_go_on_after_a_kill(bus: Bus, nats_server: Server) -> None:
    async with bus.listen("specgen.v1.tok.revive.>") as live, bus.follow("specgen.v1.tok.revive.>") as stored:
        await bus.emit(token("revive", 0))
        for feed in (live, stored):
            assert (await asyncio.wait_for(anext(feed), 20)).message.seq == 0  # type: ignore[union-attr]
        await restarted(nats_server, kill(nats_server), lambda: bus.connected)
        await eventually_stream(bus)
        await bus.emit(token("revive", 1))
        for feed in (live, stored):
            assert (await asyncio.wait_for(anext(feed), 20)).message.seq == 1  # type: ignore[union-attr]


async def eventually_stream(bus: Bus) -> None:
    """Wait until the token stream, which lives in memory, was made again."""
    for _ in range(200):
        with contextlib.suppress(Exception):
            await bus.subjects("specgen.v1.tok.>")
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the token stream did not come back")


async def test_lease_and_table_outlive_a_kill(bus: Bus, nats_server: Server) -> None:
    table = bus.table("SG_STATE")
    async with table.watch("kept.>") as entries, bus.lease("device.kept", "holder") as lease:
        revision = await table.put("kept.a", b"1")
        assert (await asyncio.wait_for(anext(entries), 20)).data == b"1"
        await restarted(nats_server, kill(nats_server), lambda: bus.connected)
        await lease.check()
        await table.update("kept.a", b"2", revision)
        assert (await asyncio.wait_for(anext(entries), 20)).data == b"2"
        await asyncio.sleep(bus.settings.lease_seconds)
        await lease.check()


async def test_done_after_a_kill_is_done(bus: Bus, nats_server: Server) -> None:
    """The killed server may not remember the delivery and then ignores its acknowledgement."""
    for n in range(2):
        await bus.record(job("ack", f"c{n}"))
        async with bus.work(queues("ack"), durable="ack", ack_wait=30) as work:
            task = await work.next(20)
            assert task is not None
            kill(nats_server)
            await task.done()
        assert await bus.subjects("specgen.v1.job.*.*.ack.>") == {}


async def test_lease_is_given_up_when_the_server_stays_away(tmp_path: Path) -> None:
    settings = BusSettings(state_dir=str(tmp_path), lease_seconds=1.0, retry_seconds=20)
    server = await start_server(settings)
    async with server, await Bus.connect("alone", settings) as bus, bus.lease("device.x", "alone") as lease:
        await server.stop()
        await asyncio.wait_for(lease.lost.wait(), 20)
        with pytest.raises(LeaseLost):
            await lease.check()


async def test_emitting_without_a_server_neither_blocks_nor_fails(tmp_path: Path) -> None:
    settings = BusSettings(state_dir=str(tmp_path))
    server = await start_server(settings)
    async with server, await Bus.connect("alone", settings) as bus:
        await server.stop()
        await eventually(lambda: not bus.connected)
        for seq in range(100):
            await bus.emit(token("void", seq, text="x" * 200_000))
        assert bus.dropped > 0


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB; needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_full_disk_is_said_and_the_server_recovers(tiny_disk: Path) -> None:
    settings = BusSettings(state_dir=str(tiny_disk / "state"), max_payload=256 * 1024, retry_seconds=20)
    ballast = tiny_disk / "ballast"
    async with await start_server(settings) as server, await Bus.connect("writer", settings) as bus:
        await bus.record(fact("disk", 0))
        ballast.write_bytes(b"x" * 5 * 2**20)
        stored = 0
        with pytest.raises(StreamFull, match="free"):
            for n in range(100):
                await bus.record(job("disk", f"c{n}", source="x" * 100_000))
                stored += 1
        ballast.unlink()
        await eventually(lambda: server.restarts == 1)
        await bus.record(job("disk", "after"))
        assert len(await bus.subjects("specgen.v1.job.*.*.disk.>")) == stored + 1
        assert len(await bus.history("specgen.v1.evt.disk.>")) == 1


async def test_start_on_a_full_or_read_only_disk_is_refused(tiny_disk: Path) -> None:
    with contextlib.suppress(OSError), (tiny_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65536)
    with pytest.raises(ServerFailed):
        await start_server(BusSettings(state_dir=str(tiny_disk / "state")))
    (tiny_disk / "ballast").unlink()
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(ServerFailed, match=r"cannot write the state directory .*Read-only"):
        await start_server(BusSettings(state_dir=str(tiny_disk / "state")))

