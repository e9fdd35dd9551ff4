"""Order, shares, cancellation and pressure by their effect: real processes, a real server, one device a stage."""
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from bench.light.candidate import Plan
from bench.light.feed import TASK
from bench.light.measure import measure, stored
from bench.light.system import LightSystem, light_system, worker
from common.bus import STATE, BusSettings, StreamFull
from common.messages import (
    PREFIX,
    AttemptStarted,
    Job,
    LeaseReleased,
    LeaseTaken,
    Outcome,
    QueueDepth,
    ResultIgnored,
    Stage,
)
from tests.scheduler.events import Events, events_of
from tests.scheduler.feeds import feed_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
V, P = Stage.VALIDATE, Stage.PROFILE


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LightSystem]:
    folder = tmp_path_factory.mktemp("order")
    env = {"SPECGEN_BUS_STATE_DIR": str(folder / "state")}
    services = [
        worker(V, ["v0"], name="validator", env=env, only=True), worker(P, ["p0"], name="profiler", env=env, only=True)
    ]
    settings = BusSettings(state_dir=str(folder / "state"), lease_seconds=3.0, stream_mib={"job": 1})
    async with light_system(folder, services, bus=settings, ready=2) as running:
        yield running


@asynccontextmanager
async def occupied(system: LightSystem, events: Events, seconds: float) -> AsyncIterator[None]:
    """The validating device is busy for a while."""
    run = f"busy-{len(events.all)}-{id(events)}"
    async with feed_of(system, run, priority=9) as feed:
        await feed.propose("c", Plan(validate=seconds, outcome="wrong_values"))
        await events.until(LeaseTaken, lambda e: e.run == run)
        yield
        await feed.until_settled()


async def test_of_a_burst_of_fifty_the_newest_is_taken_next(system: LightSystem) -> None:
    async with events_of(system.bus) as events, feed_of(system, "burst") as feed:
        async with occupied(system, events, 2.0):
            for number in range(50):
                await feed.propose(f"f{number}", Plan(outcome="wrong_values"))
            await feed.propose("main", Plan(outcome="wrong_values"), origin="main")
        await feed.until_settled()
    order = [name for run, name in events.taken(V) if run == "burst"]
    assert order == ["main", *(f"f{number}" for number in reversed(range(50)))]


async def test_profiles_go_by_arrival(system: LightSystem) -> None:
    async with events_of(system.bus) as events, feed_of(system, "arrival") as feed:
        await feed.propose("f0", Plan(profile=1.5))
        await events.until(LeaseTaken, lambda e: e.stage is P)
        for number in range(1, 6):
            await feed.propose(f"f{number}", Plan())
            await events.until(LeaseReleased, lambda e: e.stage is V, count=number + 1)
        await feed.until_settled()
    assert [name for _, name in events.taken(P)] == [f"f{number}" for number in range(6)]


@pytest.mark.parametrize("weight", [1.0, 3.0])
async def test_two_campaigns_get_their_shares(system: LightSystem, weight: float) -> None:
    one, other = f"one-{weight:g}", f"other-{weight:g}"
    async with (
        events_of(system.bus) as events,
        feed_of(system, one, weight=weight) as first,
        feed_of(system, other) as second,
    ):
        async with occupied(system, events, 2.5):
            for feed in (first, second):
                for number in range(45):
                    await feed.propose(f"f{number}", Plan(validate=0.03, outcome="wrong_values"))
        await asyncio.gather(first.until_settled(), second.until_settled())
    served = Counter(run for run, _ in events.taken(V)[1:41])
    assert served[one] / 40 == pytest.approx(weight / (weight + 1), abs=0.13)
    assert len(events.taken(V)) == 1 + 90, "no cross-talk: each candidate once"


async def test_a_campaign_of_higher_priority_goes_first_and_each_pays_for_its_own(system: LightSystem) -> None:
    async with (
        events_of(system.bus) as events,
        feed_of(system, "usual", campaign="patient") as usual,
        feed_of(system, "urgent", campaign="hasty", priority=3) as urgent,
    ):
        async with occupied(system, events, 1.5):
            for feed in (usual, urgent):
                for number in range(8):
                    await feed.propose(f"f{number}", Plan(validate=0.03, outcome="wrong_values"))
        await asyncio.gather(usual.until_settled(), urgent.until_settled())
    order = [run for run, _ in events.taken(V)[1:]]
    assert order[:10].count("urgent") == 8, "but for what had been sent ahead, though all of the others came first"
    ledger = measure(await stored(system.bus), ["v0", "p0"]).campaigns
    for campaign, run in (("patient", "usual"), ("hasty", "urgent")):
        held = [released.seconds for holds in events.holds().values() for taken, released in holds if taken.run == run]
        assert len(held) == 8 and ledger[campaign] == pytest.approx(sum(held))


async def test_the_end_of_an_iteration_cancels_what_waits_and_what_runs(system: LightSystem) -> None:
    async with events_of(system.bus) as events, feed_of(system, "cut") as feed:
        for number in range(20):
            await feed.propose(f"f{number}", Plan(validate=60.0))
        await events.until(LeaseTaken)
        ended = await feed.end_iteration()
        freed = await events.until(LeaseReleased)
        assert freed[0].reason == "cancelled"
        print(f"\ncancelled {1e3 * (freed[0].at - ended.at):.0f} ms after the iteration's end")
        await feed.open_iteration()
        await feed.propose("next", Plan())
        await feed.until(lambda state: state.candidates["next"].settled is not None)
        for _ in range(400):  # a worker stores its result first and acknowledges the job then
            if not (left := await system.bus.subjects(f"{PREFIX}.job.>")):
                break
            await asyncio.sleep(0.05)
        assert left == {}
        results = {d.subject.split(".")[-1] for d in await system.bus.history(f"{PREFIX}.res.*.cut.>")}
        assert results == {"next"}
        fates = Counter(c.settled.fate for c in feed.state.candidates.values() if c.settled)
        assert fates == {"cancelled": 20, "counted": 1}


async def test_a_result_that_comes_after_the_end_is_late_and_does_not_count(system: LightSystem) -> None:
    """The scheduler sleeps, so that nothing is cancelled in time."""
    async with events_of(system.bus) as events, feed_of(system, "late") as feed:
        await feed.propose("f0", Plan(validate=0.5))
        await events.until(LeaseTaken)
        os.kill(system.pid("scheduler"), signal.SIGSTOP)
        try:
            await feed.end_iteration()
            await feed.until(lambda state: state.last_result > 0)
        finally:
            os.kill(system.pid("scheduler"), signal.SIGCONT)
        ignored = [d.message for d in await system.bus.history(f"{PREFIX}.evt.late.result.ignored")]
        assert [(m.reason, m.candidate) for m in ignored if isinstance(m, ResultIgnored)] == [("late", "f0")]
        assert feed.state.H == [] and feed.state.candidates["f0"].results == {}
        await feed.open_iteration()


async def test_the_depth_of_the_queues_is_told(system: LightSystem) -> None:
    async with events_of(system.bus) as events, feed_of(system, "deep") as feed:
        async with occupied(system, events, 1.5):
            for number in range(9):
                await feed.propose(f"f{number}", Plan(validate=0.05, outcome="wrong_values"))
            deep = await events.until(QueueDepth, lambda e: e.waiting[V] == 9)
            assert (deep[0].running[V], deep[0].idle, deep[0].full) == (1, 1, False)
            assert deep[0].wait_seconds[V] > 0
        await feed.until_settled()
        await events.until(QueueDepth, lambda e: e.at > deep[0].at and e.waiting[V] == 0 and e.idle == 2)
    entry = await system.bus.table(STATE).get("depth")
    assert entry is not None and entry.decode(QueueDepth).waiting == {V: 0, P: 0}


async def test_a_full_job_stream_holds_back_speculation_and_nothing_is_lost(system: LightSystem) -> None:
    """Main answers are tried again and again until there is room."""
    await _fill(system)
    async with events_of(system.bus) as events, feed_of(system, "full") as feed:
        await feed.propose("f0", Plan(outcome="wrong_values"))
        await feed.propose("main", Plan(outcome="wrong_values"), origin="main")
        await events.until(QueueDepth, lambda e: e.full)
        assert not events.of(AttemptStarted)
        assert await system.bus.purge(f"{PREFIX}.job.validate.p7.>") > 0
        settled = await feed.until_settled()
        await events.until(QueueDepth, lambda e: not e.full and not e.waiting[V])
    assert {s.outcome for s in settled} == {Outcome.WRONG_VALUES}
    assert [name for _, name in events.taken(V)] == ["main", "f0"]
    assert system.supervisor.processes["scheduler"].returncode is None, "and the scheduler lives"


async def _fill(system: LightSystem) -> None:
    """Jobs of a priority nobody serves, until not even a small one fits."""
    for size in (200_000, 20_000, 2_000, 200, 1):
        with contextlib.suppress(StreamFull):
            for number in range(100):
                await system.bus.record(Job(
                    stage=V, priority=7, run="junk", iteration=size, candidate=f"c{number}", attempt=1, issued_at=0.0,
                    requested_at=0.0, deadline=0.0, device="cpu", task=TASK, source="x" * size,
                ))
