"""The trigger as a process against a real server: tokens and facts in, requests out, also across its death."""
from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from common.bus import Bus, BusSettings, start_server
from common.messages import PREFIX, AbortRequest, ForkRequest, Message, Outlook, PrefixLocated, Stage, StopRequest
from tests.trigger.facts import Log, deltas
from tests.trigger.test_parse import MODEL
from tests.trigger.texts import PROSE, kernel, prose


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    settings = BusSettings(state_dir=str(tmp_path / "bus"))
    async with await start_server(settings) as server, await Bus.connect("test", server.settings) as bus:
        yield bus


@asynccontextmanager
async def trigger(bus: Bus) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as a process; ended with SIGTERM, which it has to obey in order."""
    assert bus.settings.url and bus.settings.token
    env = os.environ | {"SPECGEN_BUS_URL": bus.settings.url, "SPECGEN_BUS_TOKEN": bus.settings.token}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trigger", env=env, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async for line in process.stderr:
            if b"trigger.reading" in line:
                break
        drain = asyncio.create_task(process.stderr.read())
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
        await drain
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
            print((await drain).decode())


async def requests(bus: Bus, count: int) -> list[Message]:
    """The first `count` requests of any kind."""
    found: list[Message] = []
    async with asyncio.timeout(30), bus.follow(f"{PREFIX}.cmd.>") as feed:
        async for delivery in feed:
            assert delivery.message is not None
            found.append(delivery.message)
            if len(found) == count:
                return found
    raise AssertionError("unreachable")


async def no_more_than(bus: Bus, count: int) -> None:
    await asyncio.sleep(0.3)
    assert len(await bus.history(f"{PREFIX}.cmd.>")) == count


async def send(bus: Bus, *messages: Message) -> None:
    for message in messages:
        await (bus.record(message) if message.SUBJECT.startswith("evt") else bus.emit(message))


TEXT = PROSE + kernel(0)


async def test_forks_and_stops_of_one_run(bus: Bus) -> None:
    async with trigger(bus):
        log = Log()
        await send(bus, log.started(), log.iteration(1), *deltas(TEXT))
        early, fork = await requests(bus, 2)
        assert isinstance(early, ForkRequest) and isinstance(fork, ForkRequest)
        assert (early.reason, early.at_token, early.at_char) == ("started", 0, 0)
        assert (fork.run, fork.iteration, fork.generation) == ("r1", 1, "main")
        assert fork.reason == "kernel_completed+first" and fork.numbers["gain_s"] > fork.numbers["cost_s"]
        assert fork.at_token is not None and 0 <= fork.at_token * 4 - len(TEXT) < 4
        await send(bus, log.result(1, "c1", Stage.PROFILE, speedup=1.5))
        await send(bus, log.result(1, "c2", Stage.PROFILE, speedup=9.0))
        *_, stop = await requests(bus, 3)
        assert isinstance(stop, StopRequest)
        assert (stop.candidate, stop.reason) == ("c1", "mean") and stop.numbers["bar"] == 1.0
        await no_more_than(bus, 3)


async def test_forks_are_priced_with_what_their_prefix_costs(bus: Bus) -> None:
    elsewhere = Outlook(prefix="loaded", wait_seconds=0.25, seconds_per_token=0.0)
    await bus.record(PrefixLocated(run="r1", at=0.0, home="http://h", replicas={"http://other": elsewhere}))
    async with trigger(bus):
        log = Log()
        await send(bus, log.started(), log.iteration(1), *deltas(TEXT))
        _, fork = await requests(bus, 2)
        assert isinstance(fork, ForkRequest) and fork.numbers["first_token_s"] == 0.25


async def test_a_draft_that_stands_complete_is_proposed(bus: Bus) -> None:
    async with trigger(bus):
        log = Log()
        await send(bus, log.started(), log.iteration(1), *deltas(f"{PROSE}```python\n{MODEL}```\n"))
        *_, draft = await requests(bus, 2)
        assert isinstance(draft, ForkRequest) and draft.draft == MODEL


async def test_a_generation_that_repeats_itself_is_to_be_ended(bus: Bus) -> None:
    async with trigger(bus):
        log = Log()
        await send(bus, log.started(), log.iteration(1), *deltas("The input is contiguous. \n" * 400))
        found = await requests(bus, 2)
        abort = next(m for m in found if isinstance(m, AbortRequest))
        assert (abort.generation, abort.reason) == ("main", "repeating")


async def test_tokens_that_overtake_their_facts_are_fetched(bus: Bus) -> None:
    async with trigger(bus):
        log = Log()
        await send(bus, *deltas(TEXT))
        await asyncio.sleep(0.3)
        await send(bus, log.started(), log.iteration(1))
        assert len(await requests(bus, 2)) == 2


async def test_a_run_without_speculation_is_not_forked(bus: Bus) -> None:
    async with trigger(bus):
        quiet, loud = Log("quiet"), Log("loud")
        await send(bus, quiet.started(speculate=False), quiet.iteration(1), *deltas(TEXT, run="quiet"))
        await send(bus, loud.started(), loud.iteration(1), *deltas(TEXT, run="loud"))
        assert [getattr(r, "run", "") for r in await requests(bus, 2)] == ["loud", "loud"]
        await no_more_than(bus, 2)


async def test_a_stop_policy_nobody_knows_stops_nothing(bus: Bus) -> None:
    async with trigger(bus):
        odd, plain = Log("odd"), Log("plain")
        await send(bus, odd.started(stop="sometimes"), odd.iteration(1))
        await send(bus, odd.result(1, "c1", Stage.PROFILE, speedup=9.0))
        await send(bus, plain.started(), plain.iteration(1), plain.result(1, "c1", Stage.PROFILE, speedup=9.0))
        [stop] = await requests(bus, 1)
        assert isinstance(stop, StopRequest) and stop.run == "plain"


async def test_a_killed_trigger_goes_on_and_asks_for_nothing_twice(bus: Bus) -> None:
    parts = [prose(i) + kernel(i) for i in range(3)]
    ends = [len("".join(parts[: i + 1])) for i in range(3)]
    stream = deltas("".join(parts) + PROSE)
    first, second, third = (end // 4 + 3 for end in ends)
    log = Log()
    async with trigger(bus) as process:
        await send(bus, log.started(), log.iteration(1), *stream[:first])
        await requests(bus, 2)
        process.kill()
        await process.wait()
    await send(bus, *stream[first:second])
    await send(bus, log.result(1, "c1", Stage.VALIDATE))
    async with trigger(bus):
        await send(bus, *stream[second:third])
        forks = [f for f in await requests(bus, 4) if isinstance(f, ForkRequest)]
        assert forks[0].at_char == 0
        assert all(-1 <= f.at_char - end < 4 for f, end in zip(forks[1:], ends, strict=True))
        await no_more_than(bus, 4)


async def test_a_stop_that_was_due_while_the_trigger_was_away(bus: Bus) -> None:
    old, log = Log("old"), Log("new")
    await send(bus, old.started(), old.iteration(1), old.result(1, "c1", Stage.PROFILE, speedup=5.0))
    await send(bus, old.iteration_ended(1), old.ended())
    await send(bus, log.started(), log.iteration(1), log.result(1, "c7", Stage.PROFILE, speedup=5.0))
    async with trigger(bus):
        [stop] = await requests(bus, 1)
        assert isinstance(stop, StopRequest) and (stop.run, stop.candidate) == ("new", "c7")
        await no_more_than(bus, 1)


async def test_lost_tokens_do_not_end_the_service(bus: Bus) -> None:
    log = Log()
    kept = [
        msgspec.structs.replace(d, seq=d.seq + 1, first_char=d.first_char + 100)
        for d in deltas(PROSE + kernel(0) + prose(2) + kernel(1))
    ]
    async with trigger(bus):
        await send(bus, log.started(), log.iteration(1), *kept)
        assert len(await requests(bus, 2)) == 2
