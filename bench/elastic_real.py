"""The comparison of `bench.elastic` small: real processes, a real server, devices as CPU slots, work that only waits.

The same drawn bursts go through the simulator: its prediction stands beside each measured figure.
"""
from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from bench.light.drive import drive
from bench.light.feed import Feed
from bench.light.measure import Measured, measure, rank, stored
from bench.light.system import light_system, pool
from bench.simulate.figures import Figures
from bench.simulate.ways import play
from bench.simulate.workload import Draws, read
from bench.simulate.world import World

SMALL = World(
    devices=4, runs=3, iterations=4, wins=0.2, burst=3, rate=2500.0, service=0.07, slowdown=0.0, prefill_seconds=0.05,
    poll_seconds=0.05, message_seconds=0.003,
)
"""Reasoning of about three seconds, judging of half a second."""
WAYS = ("static", "published", "elastic")


class Way(msgspec.Struct, frozen=True, kw_only=True):
    measured: Measured
    predicted: Figures


class Real(msgspec.Struct, frozen=True, kw_only=True):
    world: World
    ways: dict[str, Way]


async def compare(folder: Path, world: World = SMALL) -> Real:
    ways = {}
    for way in WAYS:
        ways[way] = Way(measured=await played(folder / way, way, world), predicted=play(way, world, read()))
    return Real(world=world, ways=ways)


async def played(folder: Path, way: str, world: World) -> Measured:
    devices = [f"d{i}" for i in range(world.devices)]
    env = {"SPECGEN_SCHEDULER_POOLS": way}
    async with light_system(folder, pool(devices, {}), env=env, ready=2 * world.devices) as system:
        await asyncio.gather(*(
            drive(Feed(system.bus, f"r{i}"), world, draws(world, f"r{i}"), f"c{i % world.campaigns}")
            for i in range(world.runs)
        ))
        await asyncio.sleep(0.5)
        return measure(await stored(system.bus), devices)


def draws(world: World, run: str) -> Draws:
    return Draws(read(), world.seed, run, world.service, world.wins)


def show(real: Real) -> None:
    print(f"{real.world.devices} devices, {real.world.runs} runs of {real.world.iterations} iterations; "
          "measured (predicted)")
    for name, way in real.ways.items():
        m, p = way.measured, way.predicted
        print(f"{name:10} makespan {m.seconds:.1f} s ({p.seconds:.1f}), busy {m.busy:.1%} ({p.busy:.1%}), useful "
              f"{m.useful:.1%} ({p.useful:.1%}), feedback p50 {m.feedback_p50:.2f} s ({p.feedback.p50:.2f}), p99 "
              f"{m.feedback_p99:.2f} s ({p.feedback.p99:.2f}), changes {m.reallocations} ({p.reallocations}), "
              f"overlapping leases {m.overlaps}")
    waits = sorted(seconds for way in real.ways.values() for seconds in way.measured.cancelled)
    print(f"from an iteration's end to a device free of its work: p50 {1e3 * rank(waits, 0.5):.0f} ms, p99 "
          f"{1e3 * rank(waits, 0.99):.0f} ms, longest {1e3 * max(waits, default=0.0):.0f} ms of {len(waits)}")
