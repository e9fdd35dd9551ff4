"""How many calls a window holds: what both sides' calls take is asked of them, and whether so many, or any, can be
launched ahead of the device."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from statistics import median
from typing import Any

import torch

from common.judge.lane.candidate import Answered, Candidate
from common.judge.lane.device_arena import new_arena
from common.judge.lane.parcel import parcel

_FEWER = 4
"""So many times fewer calls where the device takes no more launches ahead (about a thousand), a call being several."""
_TRIES = 2
"""Calls that must all wait for the device before a side's calls are taken to do so: a single one may have been held up,
or have done what is done only once, as capturing a graph."""


class Sizing:
    """Of two frozen sides that have been given one call's inputs; `blamed`: within it what fails is that side's."""

    def __init__(
        self, sides: Sequence[Candidate], blamed: Callable[[Candidate], AbstractContextManager[None]],
        inputs: Sequence[Any], device: torch.device,
    ) -> None:
        self._sides = sides
        self._blamed = blamed
        self._inputs = inputs
        self._device = device

    def alone(self, side: Candidate) -> float:
        """About how many seconds one call takes without the path; negative where the path's own noise is longer. From
        here on the side's calls are launched behind a gate, or not."""
        side.gates = True
        side.gates = any(self._one(side).ahead for _ in range(_TRIES))
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for empty in (False, True) * 3:
            seconds[empty].append(self._one(side, empty=empty).seconds)
        return median(seconds[False]) - median(seconds[True])

    def _one(self, side: Candidate, *, empty: bool = False) -> Answered:
        with self._blamed(side):
            answered = side.call(side.arena.give(self._inputs), thaw=True, empty=empty)
            side.freeze()
        return answered

    def lengthen(self, calls: int, needed: tuple[int, int]) -> int:
        """Give both sides room for as many calls as are asked for, or can be launched ahead of the device, each of
        which needs so many bytes for inputs and outputs. How many those are."""
        while calls > 1:
            for side in self._sides:
                with self._blamed(side):
                    side.thaw()
                    side.share(partial(new_arena, self._device, *(count * calls for count in needed)))
                    side.freeze()
            if all(self._launches(side, calls) for side in self._sides):
                return calls
            calls //= _FEWER
        return 1

    def _launches(self, side: Candidate, calls: int) -> bool:
        """Whether so many are launched before the first runs; true as well of calls that wait for the device, which
        are launched one by one."""
        if not side.gates or side.arena.gate() is None:
            return True
        first, *more = side.arena.give_all(parcel([self._inputs] * calls, self._device))
        with self._blamed(side):
            answered = side.call(first, more=more, thaw=True)
            side.freeze()
        return answered.ahead
