"""Which pairs a GPU's clocks make unfair, and what becomes of them; reading where there is no GPU."""
from __future__ import annotations

import pytest

from common.devices import Device
from common.judge.lane.blocks import Block, Blocks, Empty
from common.judge.lane.clocks import Reading, Sides, Window, throttled
from common.judge.lane.nvml import Governor
from common.judge.lane.paired import Pair

IDLE, SETTING, POWER, SLOWDOWN, THERMAL, HOT, BRAKE = 0x1, 0x2, 0x4, 0x8, 0x20, 0x40, 0x80
_PATH = [Empty(1e-4, 0.0)] * 3


def window(sm: int, reasons: int = 0, memory: int = 2619, temperature: int = 50) -> Window:
    reading = Reading(sm, memory, temperature, reasons)
    return Window(reading, reading)


def block(sides: Sides | None = None, *, disturbed: bool = False) -> Block:
    return Block(Pair(2e-3, 1e-3), Pair(0.0, 0.0), Pair(2e-3, 1e-3), Pair(0.0, 0.0), _PATH, _PATH, disturbed, sides)


UNEQUAL = Sides(window(1980), window(1500, POWER))
EQUAL = Sides(window(1500, POWER), window(1515, POWER))


@pytest.mark.parametrize("reason", [POWER, SLOWDOWN, THERMAL, HOT, BRAKE])
def test_a_pair_is_unfair_where_throttling_gave_its_sides_different_clocks(reason: int) -> None:
    assert throttled(Sides(window(1980), window(1900, reason)))
    assert throttled(Sides(window(1900), window(1980, reason))), "whichever side gains by it"
    assert throttled(Sides(window(1980), window(1980, reason, memory=1593)))
    assert not throttled(Sides(window(1980), window(1965, reason))), "one step of the clock"


def test_a_device_at_its_power_limit_all_the_time_is_fair() -> None:
    assert not throttled(EQUAL)


@pytest.mark.parametrize("reason", [0, IDLE, SETTING, IDLE | SETTING])
def test_an_idle_device_and_limits_that_were_set_are_no_throttling(reason: int) -> None:
    assert not throttled(Sides(window(1980), window(1200, reason)))


def test_the_clock_of_a_window_is_that_between_its_ends() -> None:
    falling = Window(Reading(1980, 2619, 60, 0), Reading(1800, 2619, 62, POWER))
    assert (falling.sm, falling.reasons) == (1890, POWER)


def test_unfair_pairs_are_left_out_where_enough_others_came() -> None:
    blocks = Blocks(least=2)
    for sides in (EQUAL, UNEQUAL, EQUAL):
        blocks.add(block(sides))
    assert not blocks.short and blocks.labels() == set() and blocks.words() == ""
    assert blocks.kept() == [block(EQUAL)] * 2
    record = blocks.record()
    assert (record["throttled"], record["disturbed"]) == ([1], [])
    assert record["clocks"] == {
        "sm_mhz": {"reference": 1500, "candidate": 1515}, "memory_mhz": {"reference": 2619, "candidate": 2619},
        "temperature_c": 50, "reasons": {"sw_power_cap": 5}, "windows": 6,
    }


def test_a_device_that_always_throttles_still_gives_a_figure_that_says_so() -> None:
    blocks = Blocks(least=2)
    for sides in (UNEQUAL, EQUAL, UNEQUAL):
        blocks.add(block(sides))
    assert blocks.short and len(blocks.kept()) == 3
    assert blocks.labels() == {"throttled"}
    assert "(2 of 3 pairs at unequal clocks)" in blocks.words()


def test_a_pair_may_be_unfair_in_two_ways() -> None:
    blocks = Blocks(least=2)
    blocks.add(block(UNEQUAL, disturbed=True))
    blocks.add(block(EQUAL))
    assert blocks.labels() == {"busy_host", "throttled"}
    assert "(1 of 2 pairs were disturbed)" in blocks.words()


def test_without_clocks_a_pair_is_fair_and_none_are_recorded() -> None:
    blocks = Blocks(least=1)
    blocks.add(block())
    assert not blocks.short and "clocks" not in blocks.record()


def test_where_clocks_cannot_be_read_the_reason_is_there() -> None:
    governor = Governor(Device(id="GPU-00000000-0000-0000-0000-000000000000", kind="cuda", cores=(0,), index=0))
    assert governor.absent == "nvidia-ml-py is not installed" or governor.absent.startswith("NVML: ")
    assert governor.read() is None
    assert Governor(Device(id="cpu-0", kind="cpu", cores=(0,))).absent
