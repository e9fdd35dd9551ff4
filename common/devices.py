"""Devices work runs on: CPU slots (fixed cores) and GPUs (by UUID). Imports no torch."""
from __future__ import annotations

import os
import shutil
import subprocess
from typing import Literal

import msgspec

from common.errors import UsageError
from common.messages.work import Stage

Kind = Literal["cpu", "cuda"]
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """Something one job at a time may run on."""

    id: str
    """Stands in subjects and lease keys: `cpu-0`, or a GPU's UUID."""
    kind: Kind
    cores: tuple[int, ...]
    """CPU cores that belong to it; for a GPU, the cores its host process may use."""
    index: int | None = None
    """Of a GPU: its number for CUDA in this process, which sees those of CUDA_VISIBLE_DEVICES alone, and in their order
    (`cuda_environment`)."""
    name: str = ""
    stages: tuple[Stage, ...] = (Stage.VALIDATE, Stage.PROFILE)
    """What it can serve at all. Only cores that nothing else uses may time a kernel."""


class DeviceSettings(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind = "cpu"
    """`cpu` or `cuda`."""
    cores: tuple[int, ...] = ()
    """CPU cores to divide; empty means all that this process may use."""
    timing_slots: int = 1
    """CPU hosts: slots set apart for timing."""
    cores_per_slot: int = 1
    """CPU hosts: cores of each slot."""
    validation_slots: int = 0
    """CPU hosts: slots for validation alone; 0 means one for each slot's worth of remaining cores, at least one."""


def discover(settings: DeviceSettings) -> tuple[Device, ...]:
    """The devices of this host. UsageError where there is none of the kind asked for."""
    cores = own_cores(settings)
    return cpu_slots(settings, cores) if settings.kind == "cpu" else _gpus(cores)


def cpu_slots(settings: DeviceSettings, cores: tuple[int, ...]) -> tuple[Device, ...]:
    """Timing slots get the last cores, alone; validation slots share the rest with everything else.

    With a single core one slot serves both stages in turn and timing is disturbed by the services themselves.
    """
    size = settings.cores_per_slot
    needed = settings.timing_slots * size
    if settings.timing_slots < 1 or size < 1:
        raise UsageError("devices: timing_slots and cores_per_slot must be at least 1")
    if len(cores) == 1:
        return (Device(id="cpu-0", kind="cpu", cores=cores, name="cpu"),)
    if needed >= len(cores):
        raise UsageError(
            f"devices: {settings.timing_slots} timing slots of {size} cores need {needed + 1} cores, "
            f"there are {len(cores)}"
        )
    shared, timing = cores[:-needed], cores[-needed:]
    validators = settings.validation_slots or max(1, len(shared) // size)
    groups = [shared[i * size % len(shared) :][:size] for i in range(validators)]
    validating = [
        Device(id=f"cpu-{i}", kind="cpu", cores=group, name="cpu", stages=(Stage.VALIDATE,))
        for i, group in enumerate(groups)
    ]
    profiling = [
        Device(id=f"cpu-{validators + i}", kind="cpu", cores=timing[i * size :][:size], name="cpu")
        for i in range(settings.timing_slots)
    ]
    return (*validating, *profiling)


def own_cores(settings: DeviceSettings) -> tuple[int, ...]:
    return settings.cores or tuple(sorted(os.sched_getaffinity(0)))


def other_cores(settings: DeviceSettings) -> tuple[int, ...]:
    """Cores no CPU timing slot owns: where services run and candidates are compiled. On a GPU host, all."""
    cores = own_cores(settings)
    if settings.kind == "cuda":
        return cores
    slots = cpu_slots(settings, cores)
    taken = {core for slot in slots if Stage.PROFILE in slot.stages for core in slot.cores}
    return tuple(core for core in cores if core not in taken) or cores


def cuda_environment() -> dict[str, str]:
    """What makes CUDA number GPUs as `Device.index` does, for a process whose environment is not this one's."""
    visible = os.environ.get(_VISIBLE)
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} | ({} if visible is None else {_VISIBLE: visible})


def _gpus(cores: tuple[int, ...]) -> tuple[Device, ...]:
    """GPUs by UUID from nvidia-smi, those alone that CUDA_VISIBLE_DEVICES names, by index or UUID, and in its order."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        raise UsageError("no GPU: nvidia-smi is not on the PATH; use --device cpu, or install the NVIDIA driver")
    query = subprocess.run(
        [tool, "--query-gpu=index,uuid,name", "--format=csv,noheader"], capture_output=True, text=True, timeout=30
    )
    if query.returncode:
        raise UsageError(f"no GPU: nvidia-smi failed: {(query.stderr or query.stdout).strip().splitlines()[0]}")
    rows = [[cell.strip() for cell in line.split(",", 2)] for line in query.stdout.splitlines() if line.strip()]
    seen = rows if (named := os.environ.get(_VISIBLE)) is None else _named(rows, named)
    if not seen:
        raise UsageError(f"no GPU is visible: check nvidia-smi -L and {_VISIBLE}")
    return tuple(
        Device(id=uuid, kind="cuda", cores=cores, index=index, name=name) for index, (_, uuid, name) in enumerate(seen)
    )


def _named(rows: list[list[str]], named: str) -> list[list[str]]:
    """CUDA hides what comes after the first name that it does not know, without a word; here that is an error."""
    seen = []
    for item in filter(None, (item.strip() for item in named.split(","))):
        found = [row for row in rows if item == row[0] or (item.startswith("GPU-") and row[1].startswith(item))]
        if len(found) != 1 or found[0] in seen:
            known = ", ".join(f"{row[0]} ({row[1]})" for row in rows) or "none"
            raise UsageError(f"{_VISIBLE}={named}: {item!r} does not name one more GPU; nvidia-smi lists {known}")
        seen += found
    return seen
