"""Reads one main generation: deltas in, effects out. The same code reads live, after a restart and in a benchmark."""
from __future__ import annotations

from collections.abc import Iterable

from common.messages import TokenDelta
from trigger import first
from trigger.effects import Abort, Fork
from trigger.parse import Parser
from trigger.settings import TriggerSettings
from trigger.signals import Signal
from trigger.stream import Arrival, Stream

Effect = Fork | Abort


class Reader:
    """`asked` are the characters at which this generation was forked before its reader began (a restart)."""

    def __init__(self, settings: TriggerSettings, asked: Iterable[int] = ()) -> None:
        self.stream = Stream()
        self._settings = settings
        self._policy = first.FirstState(tuple(asked))
        self._reasoning, self._answer = Parser(), Parser()
        self._thinks = True

    def read(self, delta: TokenDelta) -> tuple[Arrival, list[Effect]]:
        """Take in one delta. After GAP nothing was taken in: read the missing ones first."""
        arrival = self.stream.accept(delta)
        if arrival is Arrival.NEXT:
            return arrival, self._parse(delta)
        if arrival is Arrival.REWOUND:
            return arrival, self._again()
        return arrival, []

    def skip_to(self, delta: TokenDelta) -> list[Effect]:
        """Begin anew at `delta`: what came before it is lost. Forks asked for stay known."""
        self.stream = Stream(delta.seq)
        self._start(delta.first_char)
        return self.read(delta)[1]

    def _start(self, first_char: int) -> None:
        self._reasoning, self._answer = Parser(first_char), Parser()
        self._thinks = True

    def _again(self) -> list[Effect]:
        """From the start. Positions already asked for stay in the policy's state, so nothing is asked for twice."""
        self._start(self.stream.deltas[0].first_char)
        return [effect for delta in self.stream.deltas for effect in self._parse(delta)]

    def _parse(self, delta: TokenDelta) -> list[Effect]:
        """Only reasoning is forked: an answer is a candidate by itself. Either may repeat itself."""
        if delta.channel == "reasoning" and self._thinks:
            return self._decide(self._reasoning.feed(delta.text))
        ended = self._reasoning.close() if self._thinks else []
        self._thinks = False
        repeats = [s for s in self._answer.feed(delta.text) if s.kind == "repeating"]
        return self._decide(ended + repeats)

    def _decide(self, signals: list[Signal]) -> list[Effect]:
        effects: list[Effect] = []
        for signal in signals:
            if signal.kind == "repeating":
                effects.append(Abort(reason="repeating", numbers={"at_char": float(signal.end)}))
            self._policy, forks = first.step(self._settings, self._policy, signal)
            effects += forks
        return effects
