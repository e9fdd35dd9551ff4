"""The fork policy: ask where the expected gain exceeds the cost, both in seconds of the run.

gain  = P(the fork's kernel ends the iteration) x P(nothing under way does so anyway) x seconds it would save
cost  = the part of the fork's time that the main generation loses because the engine slows down, plus the price of its
        tokens, plus the time for which an engine computes its prefix again, where no replica has it or can load it,
        plus the time by which its candidate holds up others at the workers, or the iteration's end: an iteration waits
        for every outcome, so a fork shortly before the reasoning ends may prolong it

P is the mean of a Beta posterior: the recorded rate of such a signal at such a depth and history as the prior, the
run's own forks as evidence (those at other signals count less). What is saved is the expected rest of the reasoning
beyond the time the fork itself takes to begin, answer and be measured, over the lengths recorded and those seen in this
run.

Code that stood in the text before (up to comments and layout) says nothing new and is not forked again; a phrase or a
silence is forked only where new code was completed since the last fork, or where there is none yet. A draft that
stands complete in the text is proposed instead, at the price of its validation alone.
"""
from __future__ import annotations

import msgspec

from trigger.effects import Fork
from trigger.forecast import forecast
from trigger.policy import ForkState, look, room
from trigger.prefix import PrefixPrice, prefix_price
from trigger.priors import CHARS_PER_TOKEN, Priors, name_of, priors
from trigger.settings import TriggerSettings
from trigger.signals import CODE, Signal
from trigger.situation import Situation

_NEVER = frozenset({"revised", "repeating"})
_OTHER_SIGNALS = 0.25
"""What a fork at another signal counts for."""


class Price(msgspec.Struct, frozen=True):
    """What one fork more is worth, in seconds."""

    p: float
    saves: float
    gain: float
    cost: float
    prefix: PrefixPrice


def step(
    settings: TriggerSettings, state: ForkState, signal: Signal, situation: Situation
) -> tuple[ForkState, list[Fork]]:
    """At most one request for a signal."""
    had_code = bool(state.seen)
    news = state.news
    state, new = look(state, signal)
    if situation.behind > settings.stale_chars or not worth_a_look(signal, new, news or not had_code):
        return state, []
    fork = _draft(settings, state, signal, situation) if signal.draft else _fork(settings, state, signal, situation)
    return (state.after(fork), [fork]) if fork else (state, [])


def worth_a_look(signal: Signal, new: bool, news: bool) -> bool:
    if signal.kind in CODE:
        return new
    return signal.kind not in _NEVER and news


def _draft(settings: TriggerSettings, state: ForkState, signal: Signal, situation: Situation) -> Fork | None:
    """Costs no generation, so neither the gap nor the limit of forks applies."""
    price = appraise(settings, priors(), signal, situation, fork_tokens=0)
    if price.gain <= price.cost:
        return None
    return Fork(at_char=signal.end, k=1, reason=name_of(signal), numbers=_numbers(price, signal), draft=signal.draft)


def _fork(settings: TriggerSettings, state: ForkState, signal: Signal, situation: Situation) -> Fork | None:
    left = min(room(settings, state, signal.end), settings.most_forks_at_once)
    table = priors()
    price = appraise(settings, table, signal, situation, fork_tokens=table.fork_tokens)
    k = _how_many(settings, price, situation, left)
    if k == 0:
        return None
    return Fork(at_char=signal.end, k=k, reason=name_of(signal), numbers=_numbers(price, signal))


def _how_many(settings: TriggerSettings, price: Price, situation: Situation, left: int) -> int:
    """The second fork at a place gains only if the first fails and differs from it; it needs an idle worker."""
    k, gain = 0, price.gain
    while k < left and gain > price.cost:
        k += 1
        gain *= (1 - price.p) * settings.difference
        if situation.places is None or k >= situation.places - situation.waiting - situation.running:
            break
    return k


def appraise(
    settings: TriggerSettings, table: Priors, signal: Signal, situation: Situation, *, fork_tokens: int
) -> Price:
    tokens = signal.end / CHARS_PER_TOKEN
    p = probability(table, name_of(signal), tokens, situation)
    rest = forecast(table, tokens, situation.lengths)
    prefix = prefix_price(situation.replicas if fork_tokens else {}, tokens)
    generating = fork_tokens / (situation.fork_rate or situation.rate)
    lead = (generating + prefix.first_token + situation.latency) * situation.rate
    saves = rest.beyond(lead) / situation.rate
    cost = (
        generating * settings.fork_slowdown
        + fork_tokens / situation.rate * settings.token_price
        + settings.prefix_price * prefix.computed
        + settings.tail_price * situation.latency * rest.within(lead)
        + _queueing(settings, situation)
    )
    return Price(p, saves, p * situation.nothing_pending * saves, cost, prefix)


def probability(table: Priors, name: str, tokens: float, situation: Situation) -> float:
    """Mean of the Beta posterior."""
    prior = table.rate(name, situation.history, tokens)
    won, lost = prior * table.strength, (1 - prior) * table.strength
    for signal, (good, bad) in situation.outcomes.items():
        weight = 1.0 if signal == name else _OTHER_SIGNALS
        won += weight * good
        lost += weight * bad
    return won / (won + lost)


def _queueing(settings: TriggerSettings, situation: Situation) -> float:
    """Seconds a candidate holds up others: none while a worker idles."""
    places = situation.waiting + situation.running + 1 if situation.places is None else situation.places
    over = max(0, situation.waiting + situation.running + 1 - places)
    return settings.queue_price * situation.latency * over


def _numbers(price: Price, signal: Signal) -> dict[str, float]:
    numbers = {
        "p": round(price.p, 4), "saves_s": round(price.saves, 2), "gain_s": round(price.gain, 3),
        "cost_s": round(price.cost, 3), "depth_tokens": round(signal.end / CHARS_PER_TOKEN),
    }
    if price.prefix.first_token:
        numbers |= {"first_token_s": round(price.prefix.first_token, 4), "computed_s": round(price.prefix.computed, 4)}
    return numbers
