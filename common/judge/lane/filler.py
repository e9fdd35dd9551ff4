"""Known work of the judge's own, run on a GPU right before each timed call, and what it tells of others' work.

An idle GPU lowers its clocks, so what is timed after a pause reads slow: the pauses here are the judge's own, for
drawing inputs and checking outputs, and they need not be equal before candidate and reference. The filler is over
before the clock runs; two processes on one GPU take turns, and one beside the call would be timed with it.
"""
from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")
_SIZE = 4096
_SECONDS, _BRIEFLY = 0.004, 0.001
_QUEUED = 8
"""Products of about 0.2 ms each."""


@cache
def filler_of(device: torch.device) -> Filler:
    """One for all measurements on a device, so that it knows how fast it is there."""
    return Filler(device)


class Filler:
    """Does nothing on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._least = math.inf
        if device.type == "cuda":
            self._factor = torch.randn(_SIZE, _SIZE, device=device, dtype=torch.bfloat16)
            self._product = torch.empty_like(self._factor)
            self._multiply(1)  # the first of all loads its library, which would read as a device held up
            torch.cuda.synchronize(device)

    def run(self, seconds: float = _SECONDS) -> None:
        """A few milliseconds of matrix products."""
        if self._device.type == "cuda":
            self._each(seconds)

    def held_up(self) -> float:
        """How many times as long as the fastest product so far the slowest of a few milliseconds took: about 1, or tens
        where another context has work for the device, since each then waits for a turn of the other's."""
        if self._device.type != "cuda":
            return 1.0
        took = self._each(_SECONDS)
        self._least = min(self._least, *took)
        return max(took) / self._least

    def _each(self, seconds: float) -> list[float]:
        """Seconds of each product, as many as take so long."""
        took, until = list[float](), time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            self._multiply(1)
            torch.cuda.synchronize(self._device)
            took.append(time.perf_counter() - began)
        return took

    def run_briefly(self) -> None:
        """Where the device was at work until a moment ago."""
        self.run(_BRIEFLY)

    def run_beside(self, work: Callable[[], T]) -> T:
        """The same, and then the work while a last few products run, so that it makes no pause before what is timed."""
        self.run()
        if self._device.type != "cuda":
            return work()
        self._multiply(_QUEUED)
        found = work()
        torch.cuda.synchronize(self._device)
        return found

    def _multiply(self, times: int) -> None:
        for _ in range(times):
            torch.mm(self._factor, self._factor, out=self._product)
