"""How many calls a window holds, with sides that stand in for a GPU: whose launches do not all fit, or wait for it."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import pytest
import torch

from common.judge.lane.arena import HostArena
from common.judge.lane.candidate import Candidate
from common.judge.lane.clocked import Answered
from common.judge.lane.sizing import Sizing
from common.judge.protocol import Gate

INPUTS = [torch.ones(8)]
NEEDED = (512, 512)


class Side:
    """`room`: calls that can be launched ahead; 0 of one that waits for the device. `late`: windows before that."""

    def __init__(self, room: int, late: int = 0) -> None:
        self.room = room
        self.late = late
        self.gates = room > 0
        self.arena: Any = None
        self.asked: list[int] = []

    def share(self, make: Callable[[], HostArena]) -> None:
        self.arena = arena = make()
        arena.gate = lambda: Gate(at=0, value=1)  # type: ignore[method-assign]

    def call(self, first: Any, *, more: Any = (), thaw: bool = False, empty: bool = False) -> Answered:
        self.asked.append(1 + len(more))
        ahead = not self.gates or (len(self.asked) > self.late and self.asked[-1] <= self.room)
        return Answered(cast(Any, None), 1e-4 if empty else 3e-4, ahead=ahead)

    def freeze(self) -> None:
        return

    thaw = freeze


def sizing(*sides: Side) -> Sizing:
    return Sizing(cast(list[Candidate], sides), lambda side: nullcontext(), INPUTS, torch.device("cpu"))


@pytest.mark.parametrize(("rooms", "calls"), [
    ((1000, 1000), 200), ((1000, 199), 50), ((60, 20), 12), ((1, 1000), 1), ((0, 1000), 200), ((0, 0), 200),
])
def test_a_window_holds_what_both_sides_can_launch_ahead(rooms: tuple[int, int], calls: int) -> None:
    one, other = sides = [Side(room) for room in rooms]
    assert sizing(one, other).lengthen(200, NEEDED) == calls
    assert [side.gates for side in sides] == [room > 0 for room in rooms], "and is gated as before"
    assert all(side.arena.holds(*(calls * count for count in NEEDED)) for side in sides)
    assert all(not side.asked for side in sides if side.room == 0), "what waits for the device is launched one by one"


def test_a_single_call_needs_no_more_room() -> None:
    side = Side(1000)
    assert sizing(side).lengthen(1, NEEDED) == 1
    assert side.arena is None


def test_a_call_is_timed_without_the_path() -> None:
    side = Side(1000)
    side.share(lambda: HostArena(*NEEDED))
    assert sizing(side).alone(cast(Candidate, side)) == pytest.approx(2e-4)
    assert side.asked == [1] * 7, "after one that tells whether it is launched ahead"


@pytest.mark.parametrize(("room", "late", "gates"), [(1000, 0, True), (1000, 1, True), (1000, 2, False), (0, 0, False)])
@pytest.mark.parametrize("before", [True, False])
def test_only_a_side_that_waits_for_the_device_again_and_again_is_not_gated(
    room: int, late: int, gates: bool, before: bool
) -> None:
    """Whatever it was in a former measurement."""
    side = Side(room, late)
    side.share(lambda: HostArena(*NEEDED))
    side.gates = before
    sizing(side).alone(cast(Candidate, side))
    assert side.gates is gates
