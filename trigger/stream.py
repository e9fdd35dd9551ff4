"""One generation's deltas in order: repeats dropped, gaps noticed, and what a resumed generation wrote anew."""
from __future__ import annotations

from bisect import bisect_left
from enum import Enum, auto

from common.messages import TokenDelta


class Arrival(Enum):
    NEXT = auto()
    REPEATED = auto()
    REWOUND = auto()
    """The generation was resumed before this point: what followed is void, its text has to be read again."""
    GAP = auto()
    """Something before this delta is missing; nothing was taken in."""


class Stream:
    """Mutable, with one owner. Kept whole, because a resumed generation makes its reader begin again.

    `first_seq` is the first delta that is still to be had.
    """

    def __init__(self, first_seq: int = 0) -> None:
        self._first_seq = first_seq
        self.deltas: list[TokenDelta] = []
        self._ends: list[int] = []

    def accept(self, delta: TokenDelta) -> Arrival:
        index = delta.seq - self._first_seq
        if index > len(self.deltas):
            return Arrival.GAP
        if index == len(self.deltas):
            self._append(delta)
            return Arrival.NEXT
        if index < 0 or _same(self.deltas[index], delta):
            return Arrival.REPEATED
        del self.deltas[index:], self._ends[index:]
        self._append(delta)
        return Arrival.REWOUND

    def at_token(self, at_char: int) -> int | None:
        """Tokens up to the end of the delta that holds the character before `at_char`; None where none are reported."""
        index = bisect_left(self._ends, at_char)
        if index == len(self.deltas):
            raise ValueError(f"character {at_char} has not arrived yet")
        delta = self.deltas[index]
        return None if delta.token_ids is None else delta.first_token + len(delta.token_ids)

    def _append(self, delta: TokenDelta) -> None:
        self.deltas.append(delta)
        self._ends.append(delta.first_char + len(delta.text))


def _same(one: TokenDelta, other: TokenDelta) -> bool:
    return (one.first_char, one.text, one.channel) == (other.first_char, other.text, other.channel)
