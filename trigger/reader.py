"""Reads one main generation: deltas in, signals out."""
from __future__ import annotations

from common.messages import TokenDelta
from trigger.parse import Parser
from trigger.signals import Signal
from trigger.stream import Arrival, Stream

USUAL_RATE = 50.0
"""Tokens a second, until the stream itself says."""
_RATE_AFTER = 1.0


class Reader:
    """Mutable, with one owner. Only reasoning gives signals to fork at: an answer is a candidate by itself. Either may
    repeat itself."""

    def __init__(self) -> None:
        self.stream = Stream()
        self._start(0)

    def _start(self, first_char: int) -> None:
        self._reasoning, self._answer = Parser(first_char), Parser()
        self._thinks = True
        self._started = first_char > 0

    def read(self, delta: TokenDelta) -> tuple[Arrival, list[Signal]]:
        """Take in one delta. After GAP nothing was taken in: read the missing ones first."""
        arrival = self.stream.accept(delta)
        if arrival is Arrival.NEXT:
            return arrival, self._parse(delta)
        if arrival is Arrival.REWOUND:
            return arrival, self._again()
        return arrival, []

    def skip_to(self, delta: TokenDelta) -> list[Signal]:
        """Begin anew at `delta`: what came before it is lost."""
        self.stream = Stream(delta.seq)
        self._start(delta.first_char)
        return self.read(delta)[1]

    def _again(self) -> list[Signal]:
        """From the start, every signal once more: whoever decides knows what was asked for before."""
        self._start(self.stream.deltas[0].first_char)
        return [signal for delta in self.stream.deltas for signal in self._parse(delta)]

    def _parse(self, delta: TokenDelta) -> list[Signal]:
        if delta.channel == "reasoning" and self._thinks:
            return self._beginning() + self._reasoning.feed(delta.text)
        ended = self._reasoning.close() if self._thinks else []
        self._thinks = False
        return ended + [signal for signal in self._answer.feed(delta.text) if signal.kind == "repeating"]

    def _beginning(self) -> list[Signal]:
        if self._started:
            return []
        self._started = True
        return [Signal(kind="started", start=0, end=0, seen=0)]

    @property
    def end(self) -> int:
        """Characters read."""
        last = self.stream.deltas[-1]
        return last.first_char + len(last.text)

    def rate(self) -> float:
        """Tokens a second so far; deltas count for tokens where no ids are reported."""
        first, last = self.stream.deltas[0], self.stream.deltas[-1]
        if last.at - first.at < _RATE_AFTER:
            return USUAL_RATE
        tokens = len(self.stream.deltas) if last.token_ids is None else last.first_token - first.first_token
        return max(1.0, tokens / (last.at - first.at))
