"""Tasks sized to a time of eager, bound by memory or by arithmetic, each with an honest kernel unlike eager's."""
from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import msgspec
import torch

from common.messages import TaskSource

_TASK = '''
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, {arguments}):
        return {result}


n = {n}


def get_inputs():
    return [{inputs}]


def get_init_inputs():
    return []
'''

_TORCH = '''
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, {arguments}):
        return {result}
'''

_TRITON_MEMORY = '''
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def squash(x_ptr, y_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < count)
    tl.store(y_ptr + at, x * tl.minimum(tl.maximum(x + 3.0, 0.0), 6.0) * (1.0 / 6.0), mask=at < count)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        squash[(triton.cdiv(x.numel(), 2048),)](x, y, x.numel(), BLOCK=2048)
        return y
'''

_TRITON_ARITHMETIC = '''
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def product(a_ptr, b_ptr, c_ptr, rows, cols, depth, TILE: tl.constexpr, STEP: tl.constexpr):
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    col = tl.program_id(1) * TILE + tl.arange(0, TILE)
    along = tl.arange(0, STEP)
    total = tl.zeros((TILE, TILE), tl.float32)
    for start in range(0, depth, STEP):
        k = start + along
        inside_a = (row[:, None] < rows) & (k[None, :] < depth)
        inside_b = (k[:, None] < depth) & (col[None, :] < cols)
        a = tl.load(a_ptr + row[:, None] * depth + k[None, :], mask=inside_a, other=0.0)
        b = tl.load(b_ptr + k[:, None] * cols + col[None, :], mask=inside_b, other=0.0)
        total = tl.dot(a, b, total, input_precision="ieee")
    mask = (row[:, None] < rows) & (col[None, :] < cols)
    tl.store(c_ptr + row[:, None] * cols + col[None, :], total, mask=mask)


class ModelNew(nn.Module):
    def forward(self, a, b):
        a, b = a.contiguous(), b.contiguous()
        rows, depth, cols = a.shape[0], a.shape[1], b.shape[1]
        c = torch.empty(rows, cols, device=a.device, dtype=a.dtype)
        product[(triton.cdiv(rows, 64), triton.cdiv(cols, 64))](a, b, c, rows, cols, depth, TILE=64, STEP=16)
        return c
'''

_MEMORY = {"arguments": "x", "result": "torch.nn.functional.hardswish(x)", "inputs": "torch.randn(n)"}
_ARITHMETIC = {"arguments": "a, b", "result": "a @ b", "inputs": "torch.randn(n, n), torch.randn(n, n)"}
_STEP = {"memory": 1024, "arithmetic": 16}
_FIRST = {"cpu": {"memory": 1 << 18, "arithmetic": 256}, "cuda": {"memory": 1 << 22, "arithmetic": 1024}}
_POWER = {"memory": 1.0, "arithmetic": 3.0}
"""Time grows with this power of n."""
_REFINED = 4
_TRIALS = 15
_SLEEP_CYCLES = 2_000_000
"""About a millisecond of a device's, in which the host queues calls, so that they follow each other without gaps."""


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """One case. `eager` is the candidate of an A/A run."""

    name: str
    task: TaskSource
    kernel: str
    eager: str
    seconds: float
    """Of eager, as it was sized."""


def sized(bound: str, seconds: float, device: torch.device) -> Sized:
    """`bound` is memory (elementwise, n numbers) or arithmetic (an n by n product), for about so many seconds."""
    forms = _MEMORY if bound == "memory" else _ARITHMETIC
    n, took = _fitting(bound, seconds, device)
    name = f"{bound}-{1e6 * seconds:g}us"
    return Sized(
        name=name, task=TaskSource(name=name, source=_TASK.format(n=n, **forms)), kernel=_kernel(bound, device.type),
        eager=_TORCH.format(**forms), seconds=took,
    )


def _kernel(bound: str, kind: str) -> str:
    """In Triton on a GPU; on a CPU the same by other library calls, which need no compiler."""
    if kind == "cuda":
        return _TRITON_MEMORY if bound == "memory" else _TRITON_ARITHMETIC
    if bound == "memory":
        return _TORCH.format(arguments="x", result="torch.clamp(x + 3.0, 0.0, 6.0).mul_(x).mul_(1.0 / 6.0)")
    return _TORCH.format(arguments="a, b", result="torch.mm(b.t().contiguous(), a.t().contiguous()).t()")


def _fitting(bound: str, seconds: float, device: torch.device) -> tuple[int, float]:
    """The size, and what eager took at it."""
    step, n = _STEP[bound], _FIRST[device.type][bound]
    for _ in range(_REFINED):
        n = max(step, round(n * (seconds / _seconds(bound, n, device)) ** (1 / _POWER[bound]) / step) * step)
    return n, _seconds(bound, n, device)


def _seconds(bound: str, n: int, device: torch.device) -> float:
    """Median of a few calls of eager, into memory that is there: a new result's pages are not the kernel's time."""
    if bound == "memory":
        x = torch.randn(n, device=device)
        y = torch.empty_like(x)
        return _timed(lambda: torch.ops.aten.hardswish.out(x, out=y), device)
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    c = torch.empty_like(a)
    return _timed(lambda: torch.mm(a, b, out=c), device)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    work()
    timed = _on_device if device.type == "cuda" else _on_host
    return median(timed(work) for _ in range(_TRIALS))


def _on_host(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _on_device(work: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(_SLEEP_CYCLES)
    start.record()
    for _ in range(_TRIALS):
        work()
    end.record()
    end.synchronize()
    return 1e-3 * start.elapsed_time(end) / _TRIALS
