"""Known work of the judge's own, run on a GPU right before each timed call.

An idle GPU lowers its clocks, so what is timed after a pause reads slow: the pauses here are the judge's own, for
drawing inputs and checking outputs, and they need not be equal before candidate and reference. The filler is over
before the clock runs; two processes on one GPU take turns, and one beside the call would be timed with it.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
_SIZE = 4096
_SECONDS, _BRIEFLY = 0.004, 0.001
_QUEUED = 8
"""Products of about 0.2 ms each."""


class Filler:
    """Does nothing on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            self._factor = torch.randn(_SIZE, _SIZE, device=device, dtype=torch.bfloat16)
            self._product = torch.empty_like(self._factor)

    def run(self, seconds: float = _SECONDS) -> None:
        """A few milliseconds of matrix products."""
        if self._device.type != "cuda":
            return
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._multiply(1)
            torch.cuda.synchronize(self._device)

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
