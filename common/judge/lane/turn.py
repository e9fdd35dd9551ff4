"""One side's turn in a pair: a call to warm up, the timed ones on new inputs, and empty ones for the path's time.

The side is frozen but while it is called. Whoever's turn it is, the same is done to it in the same order, but that a
long window is not warmed up for.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from common.judge.check import Expected
from common.judge.lane.blocks import Empty
from common.judge.lane.candidate import Answered, Candidate
from common.judge.lane.clocks import Reading, Window
from common.judge.lane.ended import CandidateEnded
from common.judge.lane.filler import filler_of
from common.judge.lane.nvml import Governor
from common.judge.lane.parcel import Parcel
from common.judge.lane.receive import Received, receive
from common.judge.lane.spent import Spent
from common.judge.lane.waits import Waits, disturbed
from common.judge.tree import Tree
from common.messages.judgement import Feedback, Outcome

_POISON = 0xFF
_EMPTY_CALLS = 1
"""Windows a turn whose calls return what is there already."""
WARMED_BELOW = 2e-3
"""Seconds of the faster side's window: where both take longer, what caches lost while the other ran (some tens of
microseconds) is nothing, and a call to warm them up would double what a turn takes."""
LONG = 5e-3
"""Seconds of a window: so long a one is not warmed up for, however short the other side's: it is below 1 % of it."""


class Turn(NamedTuple):
    """One side's timed series: seconds a call by the judge's clock, around it, by its own clock, and to launch it where
    that is not in them; what each call returned, whether it had to wait for its cores or was launched too late, and the
    device's clocks before and after where they are read."""

    seconds: float
    around: float
    span: float
    launch: float
    results: list[Received]
    disturbed: bool
    window: Window | None
    path: list[Empty]


class Timer:
    """Takes turns. What each call returns is of the form of `expected`."""

    def __init__(self, expected: Expected, governor: Governor | None, spent: Spent) -> None:
        self.alone: dict[Candidate, float] = {}
        """About how many seconds a call of each side takes; on a GPU without the path, which is longer than many."""
        self._expected = expected
        self._governor = governor
        self._spent = spent
        self._filler = filler_of(expected.device)

    def turn(self, side: Candidate, former: Parcel, given: Parcel) -> Turn:
        """`former`: the inputs of one call that it had before. CandidateEnded where the side fails."""
        spent = self._spent
        if self._warmed(side, len(given.trees)):
            with spent.on("warm"):
                self._called(side, side.arena.give_all(former)[0])
        with spent.on("give"):
            first, *more = side.arena.give_all(given)
            side.arena.poison(_POISON)
        before: list[tuple[Reading | None, Waits]] = []

        def ready() -> None:
            with spent.on("fill"):
                before.append(self._filler.run_beside(lambda: self._ready(side)))

        with spent.on("timed"):
            answered = self._called(side, first, more, ready=ready)
        with spent.on("read"):
            ((clocks, waits),) = before
            waited, after = waits.since(), self._clocks()
        with spent.on("receive"):
            results = receive(side.arena, answered.done, self._expected)
        with spent.on("untouched"):
            self._unwritten(side)
        calls = len(given.trees)
        path = [self._path(side, first, more) for _ in range(_EMPTY_CALLS)]
        return Turn(
            seconds=answered.seconds / calls, around=answered.around / calls, span=answered.done.span / calls,
            launch=answered.launch / calls, results=results,
            disturbed=disturbed(waited, answered.seconds) or not answered.ahead,
            window=Window(clocks, after) if clocks and after else None, path=path,
        )

    def _warmed(self, side: Candidate, calls: int) -> bool:
        return calls * min(self.alone.values()) < WARMED_BELOW and calls * self.alone[side] < LONG

    def _called(
        self, side: Candidate, first: Tree, more: Sequence[Tree] = (), *, empty: bool = False,
        ready: Callable[[], None] | None = None,
    ) -> Answered:
        answered = side.call(first, more=more, thaw=True, empty=empty, ready=ready)
        with self._spent.on("freeze"):
            side.freeze()
        return answered

    def _ready(self, side: Candidate) -> tuple[Reading | None, Waits]:
        """What is read right before the clock runs."""
        with self._spent.on("read"):
            return self._clocks(), side.waits()

    def _clocks(self) -> Reading | None:
        return self._governor.read() if self._governor else None

    def _unwritten(self, side: Candidate) -> None:
        if not side.arena.untouched():
            raise CandidateEnded(Outcome.WRONG_VALUES, Feedback(summary="forward writes to its inputs in a timed call"))

    def _path(self, side: Candidate, first: Tree, more: Sequence[Tree]) -> Empty:
        """A call's share of the path, from a window of as many empty calls. Only the reference's give the path, but
        both processes are used alike."""
        calls = 1 + len(more)
        with self._spent.on("path"):
            empty = self._called(side, first, more, empty=True, ready=self._fill_briefly)
        return Empty(empty.seconds / calls, empty.done.span / calls)

    def _fill_briefly(self) -> None:
        with self._spent.on("fill"):
            self._filler.run_briefly()
