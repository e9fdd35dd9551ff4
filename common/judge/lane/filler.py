"""Known work of the judge's own, run on a GPU right before each timed call.

An idle GPU lowers its clocks, so what is timed after a pause reads slow: the pauses here are the judge's own, for
drawing inputs and checking outputs, and they need not be equal before candidate and reference. The filler is over
before the clock runs; two processes on one GPU take turns, and one beside the call would be timed with it.
"""
from __future__ import annotations

import time

import torch

_SIZE = 4096
_SECONDS = 0.004


class Filler:
    """Does nothing on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            self._factor = torch.randn(_SIZE, _SIZE, device=device, dtype=torch.bfloat16)
            self._product = torch.empty_like(self._factor)

    def run(self) -> None:
        """A few milliseconds of matrix products."""
        if self._device.type != "cuda":
            return
        until = time.perf_counter() + _SECONDS
        while time.perf_counter() < until:
            torch.mm(self._factor, self._factor, out=self._product)
            torch.cuda.synchronize(self._device)
