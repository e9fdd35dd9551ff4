"""Fits the fork policy's priors: `python -m bench.fit --out trigger/priors.json`.

From the tasks kept for fitting (`traces.reports_on` says no) and the stand-in rules: each trace is walked through its
signals as the policy would see them, a fork is imagined at every one that the policy would consider, and the share of
those that would have ended the iteration is counted by signal, depth and history, up to the first that would have.
Only numbers are written.
"""
from __future__ import annotations

import argparse
import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import get_args

import msgspec

from bench import standins, traces
from bench.standins import RULES, Pool, Rule
from bench.traces import Trace
from trigger import priors
from trigger.parse import Parser
from trigger.policy import ForkState, look
from trigger.signals import Signal
from trigger.situation import History, history
from trigger.stop import mean_bar
from trigger.value import worth_a_look

SEEDS = range(5)
STRENGTH = 40.0
SMOOTHING = 30.0 * len(RULES) * len(SEEDS)
"""Forks a coarser rate counts for where a finer one rests on few (every rule and seed counts a trace anew)."""
SMOOTHED_SUCCESSES = 3.0 * len(RULES) * len(SEEDS)
FLOOR, KERNEL_FLOOR = 0.005, 0.03
"""Least rates, of any signal and of a kernel written out. One model's recordings and three rules are not the world:
what they do not reward may be worth something in a run, which can only say so if it is tried."""
WRITTEN_OUT = ("kernel_completed+first", "kernel_completed+settling", "kernel_completed+other")
QUANTILES = 40

Cell = tuple[str, History, int]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, required=True)
    out = options.parse_args().out
    recorded = traces.load(traces.default_files(traces.REASONING))
    kept = [t for t in recorded if not traces.reports_on(t.task) and t.passed is not None and t.complete]
    if not kept:
        print(f"bench.fit: no recordings in {traces.FOLDER}; nothing is written")
        return
    out.write_bytes(msgspec.json.format(msgspec.json.encode(fit(kept, standins.default_pool(recorded))), indent=1))


def fit(kept: list[Trace], pool: Pool) -> priors.Priors:
    signals = {t.id: signals_of(t) for t in kept}
    tried: Counter[Cell] = Counter()
    won: Counter[Cell] = Counter()
    for rule in RULES:
        for seed in SEEDS:
            for cell, success in _forks(kept, signals, pool, rule, seed):
                tried[cell] += 1
                won[cell] += success
    ends = sorted(t.tokens for t in kept)
    return priors.Priors(
        made_by="python -m bench.fit --out trigger/priors.json", tasks=len({t.task for t in kept}), traces=len(kept),
        strength=STRENGTH, rates=_rates(tried, won), otherwise=round(sum(won.values()) / sum(tried.values()), 4),
        reasoning_tokens=tuple(ends[int((i + 0.5) / QUANTILES * len(ends))] for i in range(QUANTILES)),
        fork_tokens=round(fmean(t.answer_tokens for t in kept)),
    )


def signals_of(trace: Trace) -> list[Signal]:
    """Everything the parser sees in a trace, its beginning first."""
    parser = Parser()
    started = Signal(kind="started", start=0, end=0, seen=0)
    return [started, *parser.feed(trace.thinking), *parser.close()]


def runs(kept: list[Trace], seed: int) -> Iterator[list[Trace]]:
    """The samples of a task, in a random order, are the iterations of one run."""
    by_task: dict[str, list[Trace]] = defaultdict(list)
    for trace in kept:
        by_task[trace.task].append(trace)
    for task, samples in by_task.items():
        yield random.Random(f"{seed}:{task}").sample(samples, len(samples))


def _forks(
    kept: list[Trace], signals: dict[str, list[Signal]], pool: Pool, rule: Rule, seed: int
) -> Iterator[tuple[Cell, bool]]:
    for run in runs(kept, seed):
        H: list[float] = []
        for number, trace in enumerate(run, start=1):
            past = history(number, tuple(H))
            bar = mean_bar(tuple(H))
            for signal in considered(signals[trace.id]):
                answer = pool.fork(rule, trace, signal.end, 0, seed)
                success = answer.passed and answer.speedup > bar
                depth = bisect_right(priors.DEPTHS, signal.end / priors.CHARS_PER_TOKEN)
                yield (priors.name_of(signal), past, depth), success
                if success:
                    break
            answer = pool.main(trace, seed)
            if answer.passed:
                H.append(answer.speedup)


def considered(signals: list[Signal]) -> Iterator[Signal]:
    """What the policy would weigh, if it had forked at everything it weighed before."""
    state = ForkState()
    for signal in signals:
        had_code, news = bool(state.seen), state.news
        state, new = look(state, signal)
        if worth_a_look(signal, new, news or not had_code):
            state = msgspec.structs.replace(state, news=False)
            yield signal


def _rates(tried: Counter[Cell], won: Counter[Cell]) -> dict[str, tuple[float, ...]]:
    """A signal's rate, times a factor for the history, times one for the depth: the cells alone are too thin.

    Each is shrunk towards the coarser one; the factors are those that all signals share.
    """
    overall = sum(won.values()) / sum(tried.values())
    base = {name: _shrunk(tried, won, lambda cell: overall, 0, name) for name in {cell[0] for cell in tried}}
    past = {value: _factor(tried, won, lambda c: base[c[0]], 1, value) for value in get_args(History)}
    depths = range(len(priors.DEPTHS) + 1)
    depth = {value: _factor(tried, won, lambda c: base[c[0]] * past[c[1]], 2, value) for value in depths}
    return {
        f"{name}/{value}": tuple(round(max(_floor(name), base[name] * past[value] * depth[d]), 4) for d in depth)
        for name in sorted(base) for value in past
    }


def _floor(name: str) -> float:
    return KERNEL_FLOOR if name in WRITTEN_OUT else FLOOR


Expected = Callable[[Cell], float]


def _shrunk(tried: Counter[Cell], won: Counter[Cell], expected: Expected, part: int, value: object) -> float:
    """The rate of the cells whose `part` is `value`, shrunk towards what is expected of them."""
    cells = [cell for cell in tried if cell[part] == value]
    n, k = sum(tried[c] for c in cells), sum(won[c] for c in cells)
    return (k + SMOOTHING * fmean(map(expected, cells))) / (n + SMOOTHING)


def _factor(tried: Counter[Cell], won: Counter[Cell], expected: Expected, part: int, value: object) -> float:
    """By how much the cells whose `part` is `value` exceed what is expected of them, shrunk towards 1."""
    cells = [cell for cell in tried if cell[part] == value]
    k, due = sum(won[c] for c in cells), sum(tried[c] * expected(c) for c in cells)
    return (k + SMOOTHED_SUCCESSES) / (due + SMOOTHED_SUCCESSES)


if __name__ == "__main__":
    main()
