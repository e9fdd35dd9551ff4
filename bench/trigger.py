"""What the trigger sees in recorded reasoning, how late, and at what cost: `python -m bench.trigger`.

Every trace is fed token by token through the live parser. A mark (a place that the recording's maker found to complete
a kernel body or a full fenced candidate) is caught if code is reported complete at or within 16 tokens after it, or a
Triton kernel's result stored: the mark is the line on which its last store begins, and which store is the last shows
only later. An assemblable draft (kernel and host wrapper both complete for the first time) likewise. Token boundaries
are not recorded: a token is taken for the trace's mean number of characters.

The policies are compared by the forks they would ask for, under the same limits. A policy catches a mark if it forks
there within the same 16 tokens.
"""
from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import msgspec

from bench import traces
from bench.policies import plans
from bench.replaying import Plan
from bench.traces import Trace
from common.errors import UsageError
from common.messages import TokenDelta
from trigger.policy import ForkState
from trigger.reader import Reader
from trigger.settings import TriggerSettings
from trigger.signals import CODE, Signal
from trigger.situation import Situation

WITHIN = 16
"""Tokens after a mark within which it has to be seen."""
ASSEMBLABLE = "assemblable_draft"
_EARLY = 4
"""Characters before a mark at which a completion still belongs to it (marks may count a newline or quotes)."""


class Caught(msgspec.Struct, kw_only=True):
    """How one kind of place was seen."""

    kind: str
    places: int
    recall: float
    lag_p50: float
    """Tokens from the place to the moment it was seen."""
    lag_p99: float


class PolicyRow(msgspec.Struct, kw_only=True):
    policy: str
    forks_mean: float
    """A trace."""
    forks_p10: float
    forks_p90: float
    recall: dict[str, float]
    """Share of the places of each kind that it forks at."""


class Report(msgspec.Struct, kw_only=True):
    traces: int
    tokens: int
    microseconds_a_token: float
    """Processor time of ordering and parsing; what a policy then decides is not in it."""
    signals_a_trace: float
    caught: list[Caught]
    policies: list[PolicyRow]
    truncated: int
    """Cut or degenerate traces that were read to their end."""
    degenerate: int
    degenerate_ended: int
    """Degenerate traces whose repetition was noticed, and after how many tokens on average."""
    degenerate_tokens: float
    falsely_ended: int
    """Sound traces taken for degenerate."""


def main() -> int:
    options = _options()
    try:
        recorded = traces.load(options.traces or traces.default_files((*traces.REASONING, *traces.ENDLESS)))
    except UsageError as error:
        print(f"bench.trigger: {error}", file=sys.stderr)
        return 2
    if options.sample:
        recorded = random.Random(0).sample(recorded, min(options.sample, len(recorded)))
    if not recorded:
        print(f"bench.trigger: skipped, no recordings (looked in {traces.FOLDER}; see --traces)")
        return 0
    report = measure(recorded)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        _print(report)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.trigger", description=__doc__)
    parser.add_argument("--traces", type=Path, nargs="+", help="files of recorded reasoning (default: those found)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sample", type=int, help="only so many traces, drawn with a fixed seed")
    return parser.parse_args()


def measure(recorded: Sequence[Trace]) -> Report:
    complete = [t for t in recorded if t.complete]
    rest = [t for t in recorded if not t.complete]
    seen, seconds = _read_all(recorded)
    ended = {t.id: s.seen for t in recorded for s in seen[t.id] if s.kind == "repeating"}
    degenerate = [t for t in recorded if t.degenerate]
    noticed = [ended[t.id] / t.chars_per_token for t in degenerate if t.id in ended]
    tokens = sum(t.tokens for t in recorded)
    return Report(
        traces=len(complete), tokens=tokens, microseconds_a_token=seconds / tokens * 1e6,
        signals_a_trace=fmean(len(seen[t.id]) for t in recorded), caught=_caught(complete, seen),
        policies=[_policy_row(name, plan, complete) for name, plan in plans(complete).items()],
        truncated=len(rest), degenerate=len(degenerate), degenerate_ended=len(noticed),
        degenerate_tokens=fmean(noticed) if noticed else 0.0,
        falsely_ended=sum(t.id in ended and not t.degenerate for t in recorded),
    )


def _read_all(recorded: Iterable[Trace]) -> tuple[dict[str, list[Signal]], float]:
    """Signals of each trace through the live reader, one token a delta, and the processor seconds that took."""
    found: dict[str, list[Signal]] = {}
    seconds = 0.0
    for trace in recorded:
        deltas = list(_deltas(trace))
        began = time.process_time()
        reader, signals = Reader(), []
        for delta in deltas:
            signals += reader.read(delta)[1]
        seconds += time.process_time() - began
        found[trace.id] = signals
    return found, seconds


def _deltas(trace: Trace) -> Iterable[TokenDelta]:
    """The reasoning as a stream of single tokens of the trace's mean length."""
    size = trace.chars_per_token
    cuts = [round(i * size) for i in range(trace.tokens)] + [len(trace.thinking)]
    for seq, (start, end) in enumerate(pairwise(cuts)):
        yield TokenDelta(
            run="r", iteration=1, generation="main", seq=seq, at=seq / 50, first_token=seq, token_ids=(0,),
            first_char=start, text=trace.thinking[start:end], channel="reasoning",
        )


def _places(trace: Trace) -> list[tuple[str, int]]:
    places = [(mark.kind, mark.end) for mark in trace.marks]
    return places + ([(ASSEMBLABLE, trace.assemblable)] if trace.assemblable is not None else [])


def _caught(recorded: Sequence[Trace], seen: dict[str, list[Signal]]) -> list[Caught]:
    lags: dict[str, list[float | None]] = defaultdict(list)
    for trace in recorded:
        code = [s for s in seen[trace.id] if s.kind in CODE]
        for kind, place in _places(trace):
            wanted = [s for s in code if s.assemblable] if kind == ASSEMBLABLE else code
            lags[kind].append(_lag(trace, place, wanted))
    return [_caught_row(kind, found) for kind, found in sorted(lags.items())]


def _lag(trace: Trace, place: int, signals: Iterable[Signal]) -> float | None:
    """Tokens until the first signal for a place, or None where none comes in time."""
    late = [max(0, s.seen - place) / trace.chars_per_token for s in signals if s.end >= place - _EARLY]
    return next((lag for lag in sorted(late) if lag <= WITHIN), None)


def _caught_row(kind: str, lags: list[float | None]) -> Caught:
    hit = sorted(lag for lag in lags if lag is not None)
    return Caught(
        kind=kind, places=len(lags), recall=len(hit) / len(lags), lag_p50=_at(hit, 0.5), lag_p99=_at(hit, 0.99)
    )


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def _policy_row(name: str, plan: Plan, recorded: Sequence[Trace]) -> PolicyRow:
    counts: list[int] = []
    hit: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for trace in recorded:
        asked = _forks(plan, trace)
        counts.append(len(asked))
        for kind, place in _places(trace):
            places[kind] += 1
            hit[kind] += any(-_EARLY <= at - place <= WITHIN * trace.chars_per_token for at in asked)
    ordered = sorted(counts)
    return PolicyRow(
        policy=name, forks_mean=fmean(counts), forks_p10=_at(ordered, 0.1), forks_p90=_at(ordered, 0.9),
        recall={kind: hit[kind] / places[kind] for kind in sorted(places)},
    )


def _forks(plan: Plan, trace: Trace) -> list[int]:
    """Where a policy would fork if nothing stopped the reasoning; drafts are counted as well."""
    state, found = ForkState(), []
    for signal in plan.signals.get(trace.id, ()):
        state, forks = plan.policy(TriggerSettings(), state, signal, Situation())
        found += [fork.at_char for fork in forks]
    return found


def _print(report: Report) -> None:
    print(f"{report.traces} complete traces, {report.tokens} tokens with the cut ones; "
          f"{report.microseconds_a_token:.1f} µs a token, {report.signals_a_trace:.0f} signals a trace.\n")
    print(f"{'seen by the parser':<28}places  recall  lag p50  lag p99 (tokens)")
    for place in report.caught:
        print(f"  {place.kind:<26}{place.places:6} {place.recall:7.2%} {place.lag_p50:8.1f} {place.lag_p99:8.1f}")
    kinds = [place.kind for place in report.caught]
    print(f"\n{'forks by policy':<20}mean  p10  p90  forked at: {', '.join(kinds)}")
    for row in report.policies:
        recall = "  ".join(f"{row.recall.get(kind, 0.0):6.1%}" for kind in kinds)
        print(f"  {row.policy:<17}{row.forks_mean:5.2f} {row.forks_p10:4.0f} {row.forks_p90:4.0f}  {recall}")
    print(f"\n{report.truncated} cut or degenerate traces read to their end; repetition noticed in "
          f"{report.degenerate_ended} of {report.degenerate} degenerate ones, after {report.degenerate_tokens:.0f} "
          f"tokens (mean); {report.falsely_ended} sound traces taken for degenerate.")


if __name__ == "__main__":
    raise SystemExit(main())
