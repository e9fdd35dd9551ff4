"""How long a GPU takes to copy a call's outputs to their places, launches aside.

In a window of many calls the copies' launches run ahead of the device, as the candidate's own do. So an empty window of
as many calls, which waits for nothing but launches, would take too much from the time of a kernel that is longer than
its launch: what a window's copies cost there is the device's time, measured in the judge's own process.
"""
from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import torch

from common.judge.lane.filler import Filler

_COPIES = 64
"""Launched within the queued filler's time."""
_REPEATS = 3


def copy_seconds(outputs: Sequence[Any], filler: Filler) -> float:
    """Of one call's outputs (tensors on the device, or plain values, which cost nothing)."""
    tensors = [leaf for leaf in outputs if isinstance(leaf, torch.Tensor)]
    places = [torch.empty_like(tensor) for tensor in tensors]
    return median(_once(tensors, places, filler) for _ in range(_REPEATS)) if tensors else 0.0


def _once(tensors: list[torch.Tensor], places: list[torch.Tensor], filler: Filler) -> float:
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def launch() -> None:
        began.record()
        for _ in range(_COPIES):
            for place, tensor in zip(places, tensors, strict=True):
                place.copy_(tensor)
        ended.record()

    filler.run_beside(launch)
    return 1e-3 * float(began.elapsed_time(ended)) / _COPIES
