"""Devices that change roles, drain, fail and come back: real processes, a real server, two devices for both stages."""
from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bench.light.candidate import Plan
from bench.light.feed import Feed
from bench.light.system import LightSystem, light_system, pool
from common.messages import (
    AttemptFailed,
    AttemptRevoked,
    AttemptStarted,
    DeviceAssigned,
    LeaseReleased,
    LeaseTaken,
    Outcome,
    Stage,
)
from tests.facts import judgement, result
from tests.scheduler.clocks import HOUR, Clock
from tests.scheduler.events import Events, M, events_of
from tests.scheduler.feeds import feed_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
V, P = Stage.VALIDATE, Stage.PROFILE
SETTINGS = {"SPECGEN_SCHEDULER_DWELL_SECONDS": "0.2", "SPECGEN_SCHEDULER_QUARANTINE_SECONDS": "1.5"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pools")


@pytest.fixture(scope="module")
def clock(folder: Path) -> Clock:
    return Clock(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(folder: Path, clock: Clock) -> AsyncIterator[LightSystem]:
    services = pool(["d0", "d1"], {}, workers=4, broken=folder / "broken")
    async with light_system(folder, services, env=SETTINGS | clock.env, ready=8) as running:
        yield running


async def test_devices_follow_the_work_and_finish_what_they_hold(system: LightSystem) -> None:
    async with events_of(system.bus) as events, feed_of(system, "follow") as feed:
        for number in range(10):
            await feed.propose(f"f{number}", Plan(validate=0.4, profile=0.4))
        settled = await feed.until_settled()
    assert {s.outcome for s in settled} == {Outcome.PASSED}
    holds = events.holds()
    assert set(holds) == {"d0", "d1"}
    assert sum(len(held) for held in holds.values()) == 20, "each stage of each candidate held one device once"
    assert all(released.reason == "done" for held in holds.values() for _, released in held)
    for held in holds.values():
        assert len({taken.stage for taken, _ in held}) == 2, "each device served both stages"


async def test_a_device_that_is_told_to_change_finishes_its_job_first(system: LightSystem) -> None:
    """Both devices validate for long, and workers hold more that is compiled, when there is something to profile: a
    verdict from elsewhere."""
    async with events_of(system.bus) as events, feed_of(system, "drain") as feed:
        for number in range(4):
            await feed.propose(f"learn{number}", Plan(compile=0.5, validate=0.2, outcome="wrong_values"))
        await feed.until_settled()
        for number in range(4):
            await feed.propose(f"long{number}", Plan(compile=0.3, validate=2.0, outcome="wrong_values"))
        await events.until(LeaseTaken, count=6)
        await asyncio.sleep(0.5)
        await feed.propose("given", Plan(profile=0.1))
        verdict = result(V, "given", judgement(), run="drain")
        await system.bus.record(verdict)
        await feed.until_settled()
    assert all(released.reason == "done" for held in events.holds().values() for _, released in held)
    assert len(drains(events)) >= 1


def drains(events: Events) -> list[tuple[str, Stage]]:
    """Devices whose role changed during a job, with the stage that was served next; AssertionError where that is the
    stage they were to leave."""
    found, held = [], {}
    draining: dict[str, Stage] = {}
    for event in events.all:
        if isinstance(event, LeaseTaken):
            if left := draining.pop(event.device, None):
                assert event.stage is not left, f"{event.device} went on with {left}"
                found.append((event.device, event.stage))
            held[event.device] = event.stage
        elif isinstance(event, LeaseReleased):
            held.pop(event.device)
        elif isinstance(event, DeviceAssigned) and (stage := held.get(event.device)):
            draining.pop(event.device, None)
            if stage not in event.stages:
                draining[event.device] = stage
    return found


async def test_a_device_that_does_not_answer_is_taken_out_until_it_does(system: LightSystem, folder: Path) -> None:
    """Which device takes what is for the scheduler to say: work comes until d0 has had some, broken and mended."""
    async with events_of(system.bus) as events, feed_of(system, "broken") as feed:
        (folder / "broken").write_text("d0")
        failed = await working(feed, "f", events.until(AttemptFailed))
        out = (await events.until(DeviceAssigned, lambda e: e.device == "d0" and not e.stages))[0]
        settled = await feed.until_settled()
        assert (failed[0].device, failed[0].quarantine) == ("d0", True)
        assert out.reason == "quarantined: d0 does not answer"
        assert {s.outcome for s in settled} == {Outcome.PASSED}, "the other device did the work"
        (folder / "broken").write_text("")
        back = await events.until(DeviceAssigned, lambda e: e.device == "d0" and e.reason == "let in for a trial")
        await working(feed, "trial", events.until(LeaseReleased, lambda e: (
            e.device == "d0" and e.reason == "done" and e.at > back[0].at)))
        await feed.until_settled()


async def working(feed: Feed, name: str, until: Coroutine[Any, Any, list[M]]) -> list[M]:
    """Two candidates at a time are proposed until then."""
    ends = asyncio.ensure_future(until)
    for number in itertools.count():
        await feed.propose(f"{name}{number}", Plan(validate=0.2, profile=0.2))
        if number % 2:
            await asyncio.wait({ends}, timeout=0.3)
        if ends.done():
            return ends.result()
    raise AssertionError("unreachable")


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_wall_clock_that_jumps_expires_nothing(system: LightSystem, clock: Clock, jump: float) -> None:
    name = f"jump{jump:+.0f}".replace("+", "a").replace("-", "b")
    async with events_of(system.bus) as events, feed_of(system, name) as feed:
        await feed.propose("long", Plan(validate=2.5, outcome="wrong_values"))
        await events.until(LeaseTaken)
        clock.set(jump)
        await feed.propose("after", Plan(validate=0.1, profile=0.1))
        await feed.until_settled()
    clock.set(0.0)
    assert Counter((e.candidate, e.stage, e.attempt) for e in events.of(AttemptStarted)) == {
        ("long", V, 1): 1, ("after", V, 1): 1, ("after", P, 1): 1,
    }
    assert not events.of(AttemptRevoked) and not events.of(AttemptFailed)
    assert max(e.at for e in events.of(LeaseReleased)) - min(e.at for e in events.of(LeaseTaken)) > HOUR / 2 or jump < 0


async def test_one_device_serves_both_stages_in_turn(tmp_path: Path) -> None:
    async with light_system(tmp_path, pool(["d0"], {}), ready=2) as system:
        async with events_of(system.bus) as events, feed_of(system, "single") as feed:
            for number in range(5):
                await feed.propose(f"f{number}", Plan(validate=0.1, profile=0.1))
            await feed.until_settled()
            await asyncio.sleep(0)
        assert Counter(taken.stage for taken, _ in events.holds()["d0"]) == {V: 5, P: 5}
        assert {e.stages for e in events.of(DeviceAssigned)} <= {(V, P)}
