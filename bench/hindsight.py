"""What a rule that does not know the draw could reach at best: fork wherever the signal is of a chosen class.

A class is what such a rule may go by: the signal as the priors name it, and the run's history. Which classes to fork at
is chosen afterwards, on the very iterations, stand-in rule and seeds that are then played, class by class as long as
another one adds to the time saved. No rule that has to be fixed beforehand and goes by these classes can count on as
much; one that goes by more could exceed it. The rest up to the oracle is knowing each single outcome.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bench.fit import considered, runs
from bench.replaying import World
from bench.standins import FAILED_TOKENS, Pool, Rule
from bench.traces import Trace
from trigger.effects import Fork
from trigger.policy import ForkState, Policy, look, room
from trigger.priors import name_of
from trigger.settings import TriggerSettings
from trigger.signals import Signal
from trigger.situation import History, Situation, history
from trigger.stop import mean_bar
from trigger.value import worth_a_look

Class = tuple[str, History]


class Place(msgspec.Struct, frozen=True):
    """Where an iteration could be forked, and what that would save: its price where the fork would not end it."""

    of: Class
    saves: float
    ends: bool


def choose(places: Sequence[Sequence[Place]]) -> frozenset[Class]:
    """The classes to fork at, each added while it adds to the seconds saved; iterations as lists of their places."""
    classes = {place.of for iteration in places for place in iteration}
    chosen: frozenset[Class] = frozenset()
    worth = 0.0
    while left := classes - chosen:
        best = max(sorted(left), key=lambda one: _saved(places, chosen | {one}))
        if (found := _saved(places, chosen | {best})) <= worth:
            break
        chosen, worth = chosen | {best}, found
    return chosen


def _saved(places: Sequence[Sequence[Place]], chosen: frozenset[Class]) -> float:
    """Seconds, up to the first fork of each iteration that ends it."""
    total = 0.0
    for iteration in places:
        for place in iteration:
            if place.of in chosen:
                total += place.saves
                if place.ends:
                    break
    return total


def places(
    kept: list[Trace], signals: Mapping[str, Sequence[Signal]], pool: Pool, rule: Rule, seeds: Sequence[int],
    world: World,
) -> list[list[Place]]:
    """Every iteration's, at the least price: what a fork's tokens slow down. Judging and queues are free here."""
    price = FAILED_TOKENS * world.slowdown / world.rate
    judging = sum(pool.judge_seconds) / max(1, len(pool.judge_seconds))
    found: list[list[Place]] = []
    for seed in seeds:
        for run in runs(kept, seed):
            H: tuple[float, ...] = ()
            for number, trace in enumerate(run, start=1):
                found.append([])
                for signal in considered(list(signals[trace.id])):
                    answer = pool.fork(rule, trace, signal.end, 0, seed)
                    left = trace.tokens + trace.answer_tokens - trace.token_at(signal.end) - answer.tokens
                    ends = answer.passed and answer.speedup > mean_bar(H) and left > judging * world.rate
                    saves = left / world.rate - judging if ends else -price * (signal.draft is None)
                    found[-1].append(Place((name_of(signal), history(number, H)), saves, ends))
                main = pool.main(trace, seed)
                H = (*H, main.speedup) if main.passed else H
    return found


def wherever_of(chosen: frozenset[Class]) -> Policy:
    """One fork, or the draft, at every signal of these classes that the live policy would look at."""

    def step(
        settings: TriggerSettings, state: ForkState, signal: Signal, situation: Situation
    ) -> tuple[ForkState, list[Fork]]:
        had_code, news = bool(state.seen), state.news
        state, new = look(state, signal)
        if not worth_a_look(signal, new, news or not had_code):
            return state, []
        if (name_of(signal), situation.history) not in chosen:
            return state, []
        if signal.draft is None and room(settings, state, signal.end) == 0:
            return state, []
        fork = Fork(at_char=signal.end, k=1, reason=name_of(signal), numbers={}, draft=signal.draft)
        return state.after(fork), [fork]

    return step
