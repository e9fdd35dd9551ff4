"""The pairs of one measurement, and which of them count. Pure.

A pair that other load disturbed (`waits.py`), or in which throttling gave the sides different clocks (`clocks.py`), is
left out and timed again. Where too few fair ones come within the time, all count, and the result is labelled with why.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from common.judge.lane import clocks
from common.judge.lane.clocks import Sides
from common.judge.lane.paired import Pair

BUSY, THROTTLED = "busy_host", "throttled"


class Empty(NamedTuple):
    """A call that returns what is there already: seconds by the judge's clock and by the process's."""

    seconds: float
    span: float


class Block(NamedTuple):
    """A pair of timed series, reference and candidate, and the empty calls after each."""

    pair: Pair
    around: Pair
    """What surrounds the two."""
    spans: Pair
    launches: Pair
    reference_path: list[Empty]
    candidate_path: list[Empty]
    disturbed: bool
    """Whether other load held up the reference."""
    clocks: Sides | None = None
    """Of the device, where they are read."""

    @property
    def throttled(self) -> bool:
        return self.clocks is not None and clocks.throttled(self.clocks)

    @property
    def fair(self) -> bool:
        return not self.disturbed and not self.throttled


class Blocks:
    """`least`: fair pairs without which all count."""

    def __init__(self, least: int) -> None:
        self._least = least
        self.all: list[Block] = []

    def add(self, block: Block) -> None:
        self.all.append(block)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def short(self) -> bool:
        return sum(block.fair for block in self.all) < self._least

    def kept(self) -> list[Block]:
        fair = [block for block in self.all if block.fair]
        return fair if len(fair) >= self._least else self.all

    def labels(self) -> set[str]:
        """Why unfair pairs had to count; none where they did not."""
        if not self.short:
            return set()
        causes = {BUSY: any(block.disturbed for block in self.all), THROTTLED: any(b.throttled for b in self.all)}
        return {label for label, there in causes.items() if there}

    def words(self) -> str:
        """The same for the summary: said where it matters, with how many pairs it was."""
        labels, pairs = self.labels(), len(self.all)
        text = ""
        if BUSY in labels:
            text += f", on busy cores ({sum(b.disturbed for b in self.all)} of {pairs} pairs were disturbed)"
        if THROTTLED in labels:
            unequal = sum(b.throttled for b in self.all)
            text += f", on a throttled device ({unequal} of {pairs} pairs at unequal clocks)"
        return text

    def record(self) -> dict[str, Any]:
        """Milliseconds a call, and the numbers of the pairs that were not fair."""
        read = [block.clocks for block in self.all if block.clocks is not None]
        return {
            "pairs_ms": [_ms(block.pair) for block in self.all],
            "around_ms": [_ms(block.around) for block in self.all],
            "spans_ms": [_ms(block.spans) for block in self.all],
            "launches_ms": [_ms(block.launches) for block in self.all],
            "path_ms": [1e3 * call.seconds for block in self.all for call in block.reference_path],
            "candidate_path_ms": [1e3 * call.seconds for block in self.all for call in block.candidate_path],
            "disturbed": _numbers(block.disturbed for block in self.all),
            "throttled": _numbers(block.throttled for block in self.all),
            **({"clocks": clocks.record(read)} if read else {}),
        }


def _ms(pair: Pair) -> tuple[float, float]:
    return 1e3 * pair.reference, 1e3 * pair.candidate


def _numbers(marked: Any) -> Sequence[int]:
    return [number for number, mark in enumerate(marked) if mark]
