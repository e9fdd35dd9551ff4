"""Timing slots have their cores for themselves."""
from __future__ import annotations

from pathlib import Path

import pytest

from common.devices import DeviceSettings, cpu_slots, discover, other_cores
from common.errors import UsageError
from common.judge.sandbox.bwrap import zygote_environment
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


@pytest.fixture
def three_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{i}, GPU-{i}aaa-{i}, NVIDIA H100'\n" for i in range(3)))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-0aaa-0", "GPU-1aaa-1", "GPU-2aaa-2"]),
        ("1", ["GPU-1aaa-1"]),
        ("2,0", ["GPU-2aaa-2", "GPU-0aaa-0"]),
        ("GPU-2aaa-2, 1", ["GPU-2aaa-2", "GPU-1aaa-1"]),
        ("GPU-1a", ["GPU-1aaa-1"]),
    ],
)
def test_gpus_are_numbered_as_cuda_numbers_them(
    visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second GPU of a host is the first of a process that sees no other, in the judge and in the sandbox alike."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = discover(DeviceSettings(kind="cuda"))
    assert [gpu.id for gpu in gpus] == expected
    assert [gpu.index for gpu in gpus] == list(range(len(expected)))
    inside = zygote_environment()
    assert inside.get("CUDA_VISIBLE_DEVICES") == visible and inside["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(
    ("visible", "says"), [("", "no GPU is visible"), ("0,3", "'3'"), ("1,1", "'1'"), ("GPU-", "'GPU-'")]
)
def test_what_names_no_gpu_is_an_error(visible: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UsageError, match=says):
        discover(DeviceSettings(kind="cuda"))
