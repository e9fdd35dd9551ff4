"""Ways to run the same world: what is compared."""
from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bench.simulate.figures import Figures
from bench.simulate.oracle import Oracle
from bench.simulate.system import System
from bench.simulate.workload import Workload
from bench.simulate.world import World
from common.messages import Stage
from scheduler.core import Scheduler
from scheduler.lanes import Lanes
from scheduler.order import Order
from scheduler.requests import Request
from scheduler.settings import SchedulerSettings

WAYS = ("static", "published", "elastic", "oracle")
"""Of sharing devices; the first three with the same order."""
STEPS: Mapping[str, tuple[str, bool, bool]] = {
    "no speculation": ("static", False, False),
    "+ speculation": ("static", True, False),
    "+ reallocation (published rule)": ("published", True, False),
    "+ reallocation (ours)": ("elastic", True, False),
    "+ priorities (published rule)": ("published", True, True),
    "+ priorities (ours)": ("elastic", True, True),
}
"""Pools, whether it speculates, whether it has an order other than first come."""


class FirstCome(Order):
    """No priorities: whatever was asked for first, of all runs."""

    def pick(
        self, stage: Stage, lanes: Lanes, seconds: Mapping[Stage, float], now: float, *, only_urgent: bool = False
    ) -> Request:
        return lanes.oldest()


def play(way: str, world: World, workload: Workload) -> Figures:
    """`way` is one of WAYS or STEPS."""
    if way == "oracle":
        return System(world, workload, scheduler=Oracle).play()
    pools, speculates, ordered = STEPS.get(way, (way, True, True))
    world = world if speculates else msgspec.structs.replace(world, forks="none")
    settings = msgspec.structs.replace(
        SchedulerSettings(pools=pools), attempt_seconds=1e6, patience_seconds=120.0 * max(1.0, world.service)  # type: ignore[arg-type]
    )
    order = Order if ordered else FirstCome
    return System(world, workload, settings, scheduler=lambda s, _: Scheduler(s, order)).play()
