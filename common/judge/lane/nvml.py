"""Clocks, temperature and throttle reasons of one GPU, read through NVML. Nothing is ever set."""
from __future__ import annotations

from typing import Any

from common.devices import Device
from common.judge.lane.clocks import Reading


class Governor:
    """Reads a device's clocks; `absent` says why it cannot, and is empty where it can."""

    def __init__(self, device: Device) -> None:
        self.absent = "a CPU's clocks are not read"
        self._handle: Any = None
        if device.kind == "cuda":
            self.absent = self._open(device.id)

    def _open(self, uuid: str) -> str:
        """By UUID: numbers are CUDA's, whose order need not be NVML's."""
        try:
            import pynvml  # noqa: PLC0415 - where it is missing clocks are not read, and nothing else changes
        except ImportError:
            return "nvidia-ml-py is not installed"
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            self._read(handle)
        except pynvml.NVMLError as error:
            return f"NVML: {error}"
        self._handle = handle
        return ""

    def read(self) -> Reading | None:
        """None where NVML does not answer; a later reading may succeed."""
        if self._handle is None:
            return None
        try:
            return self._read(self._handle)
        except self._nvml.NVMLError:
            return None

    def _read(self, handle: Any) -> Reading:
        nvml = self._nvml
        return Reading(
            sm=nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            memory=nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            temperature=nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            reasons=nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        )
