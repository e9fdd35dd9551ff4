"""One generation's deltas in order: repeats dropped, gaps noticed, and what a resumed generation wrote anew."""
from __future__ import annotations

from bisect import bisect_left
from enum import Enum, auto

from common.messages import TokenDelta


class Arrival(Enum):
    NEXT = auto()
    REPEATED = auto()
    REWOUND = auto()
    """The generation went on from an earlier place: what followed it is void, the text has to be read again."""
    GAP = auto()
    """Something before this delta is missing; nothing was taken in."""


class Stream:
    """Mutable, with one owner. Kept whole, because a resumed generation makes its reader begin again.

    `next_seq` is the delta that has to come next; it starts later than 0 where the first ones are lost.
    """

    def __init__(self, next_seq: int = 0) -> None:
        self.deltas: list[TokenDelta] = []
        self._next_seq = next_seq

    def accept(self, delta: TokenDelta) -> Arrival:
        if delta.seq > self._next_seq:
            return Arrival.GAP
        if delta.seq < self._next_seq and not self._contradicts(delta):
            return Arrival.REPEATED
        return self._take(delta)

    def _contradicts(self, delta: TokenDelta) -> bool:
        """Whether another delta stands under this number: a resumed generation counts on from its journal."""
        at = bisect_left(self.deltas, delta.seq, key=lambda d: d.seq)
        if at == len(self.deltas) or self.deltas[at].seq != delta.seq:
            return False
        stands = self.deltas[at]
        return (stands.first_char, stands.text, stands.channel) != (delta.first_char, delta.text, delta.channel)

    def _take(self, delta: TokenDelta) -> Arrival:
        before = len(self.deltas)
        while self.deltas and _end(self.deltas[-1]) > delta.first_char:
            self.deltas.pop()
        arrival = Arrival.NEXT if len(self.deltas) == before else Arrival.REWOUND
        self.deltas.append(delta)
        self._next_seq = delta.seq + 1
        return arrival

    def boundary(self, at_char: int) -> tuple[int | None, int]:
        """The first boundary between deltas at or after a character, in tokens (None where none are reported) and
        characters. ValueError where it has not arrived."""
        if at_char == 0:
            return (None if self.deltas and self.deltas[0].token_ids is None else 0), 0
        at = bisect_left(self.deltas, at_char, key=_end)
        if at == len(self.deltas):
            raise ValueError(f"character {at_char} has not arrived yet")
        delta = self.deltas[at]
        if delta.token_ids is None:
            return None, at_char
        return delta.first_token + len(delta.token_ids), _end(delta)


def _end(delta: TokenDelta) -> int:
    return delta.first_char + len(delta.text)
