"""Reads one main generation: deltas in, forks out. The same code reads live, after a restart and in a benchmark."""
from __future__ import annotations

from collections.abc import Iterable

from common.messages import TokenDelta
from trigger import first
from trigger.effects import Fork
from trigger.parse import Parser
from trigger.settings import TriggerSettings
from trigger.stream import Arrival, Stream


class Reader:
    """`asked` are the characters at which this generation was forked before its reader began (a restart)."""

    def __init__(self, settings: TriggerSettings, asked: Iterable[int] = ()) -> None:
        self.stream = Stream()
        self._settings = settings
        self._policy = first.FirstState(tuple(asked))
        self._parser = Parser()
        self._reasoning = True

    def read(self, delta: TokenDelta) -> tuple[Arrival, list[Fork]]:
        """Take in one delta. After GAP nothing was taken in: read the missing ones first."""
        arrival = self.stream.accept(delta)
        if arrival is Arrival.NEXT:
            return arrival, self._parse(delta)
        if arrival is Arrival.REWOUND:
            return arrival, self._again()
        return arrival, []

    def skip_to(self, delta: TokenDelta) -> list[Fork]:
        """Begin anew at `delta`: what came before it is lost. Forks asked for stay known."""
        self.stream = Stream(delta.seq)
        self._parser, self._reasoning = Parser(delta.first_char), True
        return self.read(delta)[1]

    def _again(self) -> list[Fork]:
        """From the start. Positions already asked for stay in the policy's state, so nothing is asked for twice."""
        self._parser, self._reasoning = Parser(self.stream.deltas[0].first_char), True
        return [fork for delta in self.stream.deltas for fork in self._parse(delta)]

    def _parse(self, delta: TokenDelta) -> list[Fork]:
        """Only reasoning is forked: an answer is a candidate by itself."""
        if not self._reasoning:
            return []
        self._reasoning = delta.channel == "reasoning"
        signals = self._parser.feed(delta.text) if self._reasoning else self._parser.close()
        forks: list[Fork] = []
        for signal in signals:
            self._policy, asked = first.step(self._settings, self._policy, signal)
            forks += asked
        return forks
