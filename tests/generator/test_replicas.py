"""Which replicas are used: those that answer, and are like the others."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from common.bus import Bus
from common.messages import PREFIX, EngineMeasured, Llm, PrefixLocated
from generator.engine.metrics import Load
from generator.llm import Refused, Unreachable
from generator.replicas import Replicas
from generator.settings import GeneratorSettings
from tests.refusing import Refusing
from tests.replay.support import recording, replaying

SETTINGS = GeneratorSettings(
    endpoint_seconds=0.2, replica_seconds=0.1, metrics_seconds=0.05, running_seconds=1.0, waiting_seconds=10.0,
    compute_seconds_per_token=0.001, load_seconds_per_token=0.0001,
)
DEAD = "http://127.0.0.1:9"
LOAD = Load(running=2, waiting=1, cache_usage=0.0, prefix_queries=0, prefix_hits=0, preemptions=0)


@asynccontextmanager
async def probed(*urls: str, settings: GeneratorSettings = SETTINGS) -> AsyncIterator[Replicas]:
    async with Replicas(Llm(url=urls[0], model="", replicas=urls[1:]), settings) as replicas:
        await replicas.probe()
        yield replicas


async def test_replicas_of_different_models_are_refused() -> None:
    other = msgspec.structs.replace(recording(), model="other")
    async with replaying() as first, replaying(other) as second:
        with pytest.raises(Refused, match="must serve one model in one way"):
            async with probed(first, second):
                pass


async def test_replicas_that_speak_differently_are_refused() -> None:
    async with replaying() as first, replaying(chat_only=True) as second:
        with pytest.raises(Refused, match="chat"):
            async with probed(first, second):
                pass


async def test_where_none_answers_there_is_nothing_to_run_on() -> None:
    with pytest.raises(Unreachable):
        async with probed(DEAD, "http://127.0.0.1:10"):
            pass


async def test_one_that_comes_later_is_taken_in(bus: Bus) -> None:
    async with replaying() as first, replaying() as second, probed(first, second) as replicas:
        late = next(site for site in replicas.sites if site.url == second)
        late.ready = False
        assert (seat := replicas.place(0)) and seat.placement and list(seat.placement.seconds) == [first]
        looking = asyncio.create_task(replicas.look_after(bus, "late"))
        async with asyncio.timeout(10), bus.follow(f"{PREFIX}.ops.late.engine.measured") as feed:
            async for delivery in feed:
                if isinstance(delivery.message, EngineMeasured) and delivery.message.replica == second:
                    break
        looking.cancel()
        assert (seat := replicas.place(0)) and seat.placement and set(seat.placement.seconds) == {first, second}


async def test_a_full_disk_does_not_end_the_watch_over_them() -> None:
    bus = Refusing()
    async with replaying() as first, replaying() as second, probed(first, second) as replicas:
        replicas.home = replicas.sites[0]
        looking = asyncio.create_task(replicas.look_after(bus, "full"))
        async with asyncio.timeout(10):
            while {type(m) for m in bus.stored} != {EngineMeasured, PrefixLocated}:
                assert not looking.done()
                await asyncio.sleep(0.01)
        looking.cancel()


def test_runs_that_start_together_begin_at_different_replicas() -> None:
    llm = Llm(url="http://a", model="", replicas=("http://b", "http://c"))
    firsts = {Replicas(llm, SETTINGS, run=f"run-{n}").sites[0].url for n in range(20)}
    assert firsts == {"http://a", "http://b", "http://c"}


async def test_load_own_generations_and_failures_decide() -> None:
    async with replaying() as first, replaying() as second, probed(first, second) as replicas:
        one, other = replicas.sites
        assert (seat := replicas.place(0)) and seat.site is one, "equal: the first"
        with replicas.at(one):
            assert (seat := replicas.place(0)) and seat.site is other
        assert (seat := replicas.place(500, home=one)) and seat.site is one
        one.saw(LOAD)
        assert (seat := replicas.place(500, home=one)) and seat.placement
        assert seat.placement.seconds == {first: 12.0, second: 0.5} and seat.site is other
        replicas.failed(other)
        assert (seat := replicas.place(500, home=one)) and seat.site is one
        assert (seat := replicas.place(500, home=one, besides=[one])) and seat.site is other, "no other is left"
        assert replicas.place(500, home=one, besides=[one, other]) is None
        one.saw(None)
        other.saw(LOAD)
        assert (seat := replicas.place(500, home=one)) and seat.site is other


async def test_replicas_of_one_pool_load_the_prefix() -> None:
    shared = msgspec.structs.replace(SETTINGS, shared_pool=True)
    async with replaying() as first, replaying() as second, probed(first, second, settings=shared) as replicas:
        one, _ = replicas.sites
        one.saw(LOAD)
        assert (seat := replicas.place(500, home=one)) and seat.placement and seat.placement.prefix == "loaded"
        assert seat.placement.seconds[second] == pytest.approx(0.05)


async def test_the_runs_own_prompts_show_what_computing_costs() -> None:
    async with replaying() as first, replaying() as second, probed(first, second) as replicas:
        one, _ = replicas.sites
        for tokens, seconds in ((10, 9.0), (2_000, 8.0), (4_000, 40.0)):
            replicas.computed(tokens, seconds)
        assert (seat := replicas.place(100, home=one)) and seat.placement
        assert seat.placement.seconds[second] == pytest.approx(100 * 0.004), "the least disturbed of the long ones"
