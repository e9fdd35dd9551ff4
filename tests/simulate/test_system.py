"""A system in virtual time keeps the rules of a real one, whatever fails in it."""
from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from bench.simulate.bounds import least_seconds, with_load
from bench.simulate.system import System
from bench.simulate.ways import WAYS, play
from bench.simulate.workload import read
from bench.simulate.world import World
from common.messages import Stage
from scheduler.settings import SchedulerSettings

WORLD = World(devices=6, runs=4, iterations=3, wins=0.2, service=2.0)
FAULTY = msgspec.structs.replace(WORLD, deaths_per_hour=60.0, faults_per_hour=6.0)


@pytest.mark.parametrize("pools", ["elastic", "published", "static"])
@pytest.mark.parametrize("seed", range(3))
def test_every_run_ends_and_every_candidate_has_one_outcome_whatever_fails(pools: str, seed: int) -> None:
    world = msgspec.structs.replace(FAULTY, seed=seed)
    system = System(world, read(), SchedulerSettings(pools=pools, attempt_seconds=1e5))  # type: ignore[arg-type]
    figures = system.play()
    assert figures.iterations == world.runs * world.iterations
    assert set(figures.reasons) <= {"stopped", "answered"}
    assert all(c.settled for run in system.runs.values() for c in run.state.candidates.values())
    assert sum(figures.lost.values()) > 0, "something failed"


def test_a_device_serves_one_job_at_a_time_and_a_candidate_is_validated_before_it_is_profiled() -> None:
    system = System(FAULTY, read())
    system.play()
    for device in system.site.devices:
        spans = sorted((s for s in system.site.spans if s.device == device), key=lambda s: s.start)
        assert all(before.end <= after.start for before, after in pairwise(spans))
    done = {(s.identity.run, s.identity.stage, s.identity.candidate): s for s in system.site.spans if s.how == "done"}
    profiles = [key for key in done if key[1] is Stage.PROFILE]
    assert profiles
    for run, _, candidate in profiles:
        assert done[run, Stage.VALIDATE, candidate].end <= done[run, Stage.PROFILE, candidate].start


def test_no_way_is_faster_than_the_bounds() -> None:
    world, free = with_load(WORLD, read(), 0.6)
    least = least_seconds(world, read(), free)
    made = {way: play(way, world, read()).seconds for way in WAYS}
    assert min(made.values()) >= max(least.values())
    assert made["oracle"] < made["static"], "devices matter in this world"


def test_campaigns_share_the_devices() -> None:
    """Two campaigns that always have work; neither is starved."""
    world = msgspec.structs.replace(WORLD, campaigns=2, service=8.0)
    used = {name: sum(stages.values()) for name, stages in System(world, read()).play().campaigns.items()}
    assert set(used) == {"c0", "c1"} and max(used.values()) < 2 * min(used.values())


def test_while_one_worker_holds_the_device_others_compile() -> None:
    """More candidates than it can judge: with a single worker it stands still during every compilation."""
    world = World(devices=1, runs=6, iterations=2, stop="never", service=10.0, compile_share=0.7)
    one, three = (
        System(msgspec.structs.replace(world, workers=count), read(), SchedulerSettings()).play() for count in (1, 3)
    )
    assert one.candidates == three.candidates
    assert three.busy > 1.5 * one.busy and three.profiled > 1.5 * one.profiled
