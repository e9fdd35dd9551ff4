"""What speculation is compared with: simple policies, our reading of the published rules, and an oracle.

All obey the same limits (`TriggerSettings`: forks an iteration, gap) through the same `room`.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.fit import signals_of
from bench.replaying import Plan, Result, Run
from bench.traces import Trace
from trigger import first, value
from trigger.effects import Fork
from trigger.policy import ForkState, Policy, room
from trigger.settings import TriggerSettings
from trigger.signals import STRUCTURAL, Kind, Signal
from trigger.situation import Situation

Signals = dict[str, list[Signal]]
INTERVALS = (500, 1000, 2000, 4000)
"""Tokens between forks of the interval policies, which come without and with a fork before any reasoning."""
_TICK: frozenset[Kind] = frozenset({"silence"})
PUBLISHED: frozenset[Kind] = STRUCTURAL | {"decided", "announced"}
"""Our reading of the published rules: a design decision, a fenced block, a completed function body, an announcement of
the implementation. K a trigger is not published: one here (with these stand-ins more would only repeat it)."""


def wherever(kinds: frozenset[Kind]) -> Policy:
    """One fork at every signal of these kinds."""

    def step(
        settings: TriggerSettings, state: ForkState, signal: Signal, situation: Situation
    ) -> tuple[ForkState, list[Fork]]:
        if signal.kind not in kinds or room(settings, state, signal.end) == 0:
            return state, []
        fork = Fork(at_char=signal.end, k=1, reason=signal.kind, numbers={})
        return state.after(fork), [fork]

    return step


def plans(traces: Iterable[Trace]) -> dict[str, Plan]:
    """Every policy by its name; parsing is done once."""
    traces = list(traces)
    parsed = {t.id: signals_of(t) for t in traces}
    found = {
        "no speculation": Plan(policy=wherever(frozenset()), signals={}),
        "fence only": Plan(policy=wherever(frozenset({"fence_closed"})), signals=parsed),
    }
    for tokens in INTERVALS:
        ticks = _ticks(traces, tokens)
        found[f"every {tokens}"] = Plan(policy=wherever(_TICK), signals=ticks)
        early = {name: [_at(0), *places] for name, places in ticks.items()}
        found[f"0, every {tokens}"] = Plan(policy=wherever(_TICK), signals=early)
    return found | {
        "first version": Plan(policy=first.step, signals=parsed),
        "published rules": Plan(policy=wherever(PUBLISHED), signals=parsed),
        "ours": Plan(policy=value.step, signals=parsed),
    }


def _ticks(traces: Iterable[Trace], tokens: int) -> Signals:
    """Places at a fixed distance, the beginning excluded."""
    return {t.id: [_at(c) for c in range(*_every(t, tokens))] for t in traces}


def _every(trace: Trace, tokens: int) -> tuple[int, int, int]:
    step = max(1, round(tokens * trace.chars_per_token))
    return step, len(trace.thinking), step


def _at(char: int, draft: str | None = None) -> Signal:
    return Signal(kind="silence", start=char, end=char, seen=char, draft=draft)


class Oracle:
    """Knows what every fork would answer and how long measuring it takes; asks for the ones that end the iteration
    soonest and for no others. It plays its choices through the same world and obeys the same limits."""

    def __init__(self, signals: Mapping[str, Sequence[Signal]]) -> None:
        self._drafts = {trace: [s.end for s in found if s.draft] for trace, found in signals.items()}

    def play(self, run: Run, trace: Trace) -> Result:
        choices = [Plan(policy=wherever(frozenset()), signals={}), *self._choices(run, trace)]
        best = min(choices, key=lambda plan: run.rehearsal().play(trace, plan).seconds)
        return run.play(trace, best)

    def _choices(self, run: Run, trace: Trace) -> list[Plan]:
        if run.rule == "null":
            gap = run.settings.minimum_gap
            return [_asking(trace, [_at(n * gap) for n in range(k)]) for k in range(1, _most(run, trace) + 1)]
        forks = [_at(c) for c in run.pool.steps(run.rule, trace)]
        drafts = [_at(c, draft="stands in the text") for c in self._drafts[trace.id]]
        return [_asking(trace, [place]) for place in forks + drafts]


def _most(run: Run, trace: Trace) -> int:
    return min(run.settings.forks_per_iteration, len(trace.thinking) // run.settings.minimum_gap + 1)


def _asking(trace: Trace, places: list[Signal]) -> Plan:
    return Plan(policy=_obeying, signals={trace.id: places})


def _obeying(
    settings: TriggerSettings, state: ForkState, signal: Signal, situation: Situation
) -> tuple[ForkState, list[Fork]]:
    if signal.draft is None and room(settings, state, signal.end) == 0:
        return state, []
    fork = Fork(at_char=signal.end, k=1, reason="oracle", numbers={}, draft=signal.draft)
    return state.after(fork), [fork]
