"""What a device can do at most, measured on it: bytes a second of a copy, operations a second of a matrix product.

A kernel's place under these two lines says what limits it (Williams, Waterman and Patterson, 2009). Bytes are those of
inputs and outputs, each once; operations are those of the task's own products and convolutions.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from common.judge.check import Case, TaskModule, make_inputs
from common.judge.check.inputs import build_model

_COPIED = {"cpu": 64 << 20, "cuda": 256 << 20}
"""Bytes: several times the last cache."""
_WIDTH = {"cpu": 768, "cuda": 4096}
_REPEATS = 5
_MARGIN = 0.5
"""Writing alone may be up to twice as fast as copying, which reads as well."""


@lru_cache
def bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a large copy by the threads this process has now."""
    source = torch.ones(_COPIED[device.type] // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _seconds(lambda: target.copy_(source), device)


@lru_cache
def operations(device: torch.device, dtype: torch.dtype, tf32: bool) -> float:
    """Floating-point operations a second of a square product; `tf32` as the backend is set now."""
    width = _WIDTH[device.type]
    factor = torch.randn(width, width, device=device).to(dtype)
    product = torch.empty_like(factor)
    return 2 * width**3 / _seconds(lambda: torch.mm(factor, factor, out=product), device)


def floor_seconds(written: int, device: torch.device) -> float:
    """Less than this nobody takes to write so many bytes of outputs that do not fit the last cache; 0 where they do."""
    beyond = max(0, written - cache_bytes(device))
    return _MARGIN * beyond / bandwidth(device) if beyond else 0.0


@lru_cache
def cache_bytes(device: torch.device) -> int:
    """Of the last cache, or 64 MiB where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    known = [int(size.read_text().strip().removesuffix("K")) << 10 for size in sizes]
    return max(known, default=64 << 20)


def task_operations(task: TaskModule, case: Case, device: torch.device) -> int:
    """Of the products and convolutions in the task's own forward; 0 where it has none."""
    model, inputs = build_model(task, case, device), make_inputs(task, case, device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return int(counter.get_total_flops())


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    """The least of a few, after one that does not count: other load only ever makes them longer."""
    times = []
    for _ in range(_REPEATS + 1):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
