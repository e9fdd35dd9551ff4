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
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import msgspec

from bench import standins, traces
from bench.standins import RULES, Pool, Rule
from bench.traces import Trace
from trigger import priors
from trigger.parse import Parser
from trigger.policy import ForkState, look
from trigger.signals import Signal
from trigger.situation import History
from trigger.stop import mean_bar
from trigger.value import worth_a_look

SEEDS = range(5)
STRENGTH = 20.0
SMOOTHING = 40.0
"""Forks a coarser rate counts for where a finer one is estimated from few."""
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
        for number, trace in enumerate(run):
            history: History = "passing" if H else "failing" if number else "fresh"
            bar = mean_bar(tuple(H))
            for signal in _considered(signals[trace.id]):
                answer = pool.fork(rule, trace, signal.end, 0, seed)
                success = answer.passed and answer.speedup > bar
                depth = bisect_right(priors.DEPTHS, signal.end / priors.CHARS_PER_TOKEN)
                yield (priors.name_of(signal), history, depth), success
                if success:
                    break
            answer = pool.main(trace, seed)
            if answer.passed:
                H.append(answer.speedup)


def _considered(signals: list[Signal]) -> Iterator[Signal]:
    """What the policy would weigh, if it had forked at everything it weighed before."""
    state = ForkState()
    for signal in signals:
        had_code, news = bool(state.seen), state.news
        state, new = look(state, signal)
        if worth_a_look(signal, new, news or not had_code):
            state = msgspec.structs.replace(state, news=False)
            yield signal


def _rates(tried: Counter[Cell], won: Counter[Cell]) -> dict[str, tuple[float, ...]]:
    """Shrunk twice: a cell towards its signal and history, that towards its signal."""
    overall = sum(won.values()) / sum(tried.values())
    rates: dict[str, tuple[float, ...]] = {}
    for name in sorted({cell[0] for cell in tried}):
        by_signal = _shrunk(tried, won, overall, lambda cell, name=name: cell[0] == name)
        for history in ("fresh", "failing", "passing"):
            by_history = _shrunk(tried, won, by_signal, lambda c, name=name, h=history: c[:2] == (name, h))
            rates[f"{name}/{history}"] = tuple(
                round(_shrunk(tried, won, by_history, lambda c, key=(name, history, d): c == key), 4)
                for d in range(len(priors.DEPTHS) + 1)
            )
    return rates


def _shrunk(tried: Counter[Cell], won: Counter[Cell], towards: float, belongs) -> float:  # type: ignore[no-untyped-def]
    cells = [cell for cell in tried if belongs(cell)]
    n, k = sum(tried[c] for c in cells), sum(won[c] for c in cells)
    return (k + SMOOTHING * towards) / (n + SMOOTHING)


if __name__ == "__main__":
    main()
