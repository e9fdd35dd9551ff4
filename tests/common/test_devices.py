"""Timing slots have their cores for themselves."""
from __future__ import annotations

import pytest

from common.devices import DeviceSettings, cpu_slots, other_cores
from common.errors import UsageError
from common.messages import Stage


@pytest.mark.parametrize(
    ("cores", "settings", "expected"),
    [
        ((0,), DeviceSettings(), [((0,), 2)]),
        ((0, 1), DeviceSettings(), [((0,), 1), ((1,), 2)]),
        ((0, 1, 2, 3), DeviceSettings(cores_per_slot=2), [((0, 1), 1), ((2, 3), 2)]),
        ((0, 1, 2, 3), DeviceSettings(timing_slots=2), [((0,), 1), ((1,), 1), ((2,), 2), ((3,), 2)]),
        ((4, 5, 6), DeviceSettings(validation_slots=1), [((4,), 1), ((6,), 2)]),
    ],
)
def test_slots(cores: tuple[int, ...], settings: DeviceSettings, expected: list[tuple[tuple[int, ...], int]]) -> None:
    slots = cpu_slots(settings, cores)
    assert [(slot.cores, len(slot.stages)) for slot in slots] == expected
    assert len({slot.id for slot in slots}) == len(slots)
    timing = {core for slot in slots if Stage.PROFILE in slot.stages for core in slot.cores}
    shared = {core for slot in slots if Stage.PROFILE not in slot.stages for core in slot.cores}
    assert not timing & shared


def test_services_stay_off_the_timing_cores() -> None:
    assert other_cores(DeviceSettings(cores=(0, 1))) == (0,)
    assert other_cores(DeviceSettings(cores=(3,))) == (3,)
    assert other_cores(DeviceSettings(cores=(0, 1), kind="cuda")) == (0, 1)


@pytest.mark.parametrize("settings", [DeviceSettings(timing_slots=0), DeviceSettings(timing_slots=2)])
def test_slots_that_do_not_fit_are_refused(settings: DeviceSettings) -> None:
    with pytest.raises(UsageError, match="timing"):
        cpu_slots(settings, (0, 1))
