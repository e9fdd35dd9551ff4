"""What speculation is worth on recorded reasoning, in virtual time: `python -m bench.speculation`.

Whole iterations are played: the recorded reasoning at a constant rate, forks answered by stand-in rules, candidates
judged for recorded times, iterations stopped by the live stop policy. The priors of `ours` were fitted on one half of
the tasks; everything reported is from the other half. See `standins` for the rules and `replaying` for the world.
"""
from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

import msgspec

from bench import hindsight, standins, traces
from bench.fit import runs
from bench.policies import Oracle, plans
from bench.replaying import Plan, Result, Run, World
from bench.standins import RULES, Pool, Rule
from bench.traces import Trace
from common.errors import UsageError
from trigger.settings import TriggerSettings

BASE, ORACLE, HINDSIGHT = "no speculation", "oracle", "best in hindsight"


class Row(msgspec.Struct, kw_only=True):
    """One policy under one rule; means over seeds, `_sd` their standard deviation."""

    rule: str
    policy: str
    hours: float
    saving: float
    """Share of the time without speculation that is saved."""
    saving_sd: float
    of_oracle: float
    """Saving as a share of the oracle's."""
    of_oracle_sd: float
    speedup: float
    """End-to-end time without speculation over time with it."""
    forks: float
    """An iteration; drafts proposed without a generation are not among them."""
    drafts: float
    profiled: float
    """Candidates profiled an iteration."""
    stopped: float
    """Share of the iterations that a measured candidate ended."""
    tokens: float
    """All tokens generated, relative to those without speculation."""


def main() -> int:
    options = _options()
    try:
        recorded = traces.load(options.traces or traces.default_files(traces.REASONING))
    except UsageError as error:
        print(f"bench.speculation: {error}", file=sys.stderr)
        return 2
    kept = [t for t in recorded if t.passed is not None and t.complete and traces.reports_on(t.task)]
    if options.sample:
        tasks = sorted({t.task for t in kept})
        chosen = set(random.Random(0).sample(tasks, min(options.sample, len(tasks))))
        kept = [t for t in kept if t.task in chosen]
    if not kept:
        print(f"bench.speculation: skipped, no labelled recordings (looked in {traces.FOLDER}; see --traces)")
        return 0
    world = World(rate=options.rate, fork_speed=options.fork_speed, slowdown=options.slowdown)
    rows = measure(kept, standins.default_pool(recorded), range(options.seeds), world)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(rows) + b"\n")
    else:
        _print(kept, rows, options.seeds, world)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.speculation", description=__doc__)
    parser.add_argument("--traces", type=Path, nargs="+", help="files of recorded reasoning (default: those found)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sample", type=int, help="only so many tasks, drawn with a fixed seed")
    world = World()
    parser.add_argument("--rate", type=float, default=world.rate, help="tokens a second of the engine")
    parser.add_argument("--fork-speed", type=float, default=world.fork_speed, help="tokens of a fork for each of those")
    parser.add_argument("--slowdown", type=float, default=world.slowdown, help="share of it that each fork costs")
    return parser.parse_args()


def measure(kept: list[Trace], pool: Pool, seeds: Sequence[int], world: World) -> list[Row]:
    table = plans(kept)
    oracle = Oracle(table["ours"].signals)
    seconds = pool.judge_seconds
    rows = []
    for rule in (*RULES, "null"):
        totals: dict[str, list[Result]] = defaultdict(list)
        table[HINDSIGHT] = _hindsight(kept, table["ours"], pool, rule, seeds, world)
        for seed in seeds:
            for name in (*table, ORACLE):
                total = Result()
                for samples in runs(kept, seed):
                    run = Run(pool, rule, seed, world, TriggerSettings(), seconds)
                    for trace in samples:
                        plan = table.get(name)
                        total.add(run.play(trace, plan) if plan else oracle.play(run, trace))
                totals[name].append(total)
        rows += [_row(rule, name, totals, len(kept)) for name in totals]
    return rows


def _hindsight(
    kept: list[Trace], ours: Plan, pool: Pool, rule: Rule, seeds: Sequence[int], world: World
) -> Plan:
    """The classes of signals to fork at, chosen with the outcomes of these very iterations known."""
    known = hindsight.places(kept, ours.signals, pool, rule, seeds, world)
    return Plan(policy=hindsight.wherever_of(hindsight.choose(known)), signals=ours.signals)


def _row(rule: Rule, name: str, totals: dict[str, list[Result]], iterations: int) -> Row:
    mine, base, best = totals[name], totals[BASE], totals[ORACLE]
    savings = [1 - m.seconds / b.seconds for m, b in zip(mine, base, strict=True)]
    bests = [1 - o.seconds / b.seconds for o, b in zip(best, base, strict=True)]
    shares = [s / o if o > 0 else 0.0 for s, o in zip(savings, bests, strict=True)]

    def each(field: str) -> float:
        return fmean(getattr(m, field) for m in mine) / iterations

    return Row(
        rule=rule, policy=name, hours=fmean(m.seconds for m in mine) / 3600, saving=fmean(savings),
        saving_sd=_sd(savings), of_oracle=fmean(shares), of_oracle_sd=_sd(shares),
        speedup=fmean(b.seconds / m.seconds for m, b in zip(mine, base, strict=True)),
        forks=each("forks"), drafts=each("drafts"), profiled=each("profiled"), stopped=each("stopped"),
        tokens=fmean(_tokens(m) / _tokens(b) for m, b in zip(mine, base, strict=True)),
    )


def _tokens(result: Result) -> int:
    return result.main_tokens + result.fork_tokens


def _sd(values: list[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def _print(kept: list[Trace], rows: list[Row], seeds: int, world: World) -> None:
    tasks = len({t.task for t in kept})
    print(f"{len(kept)} recorded iterations of {tasks} tasks (the half not used for fitting), {seeds} seeds.")
    print("A fork's answer is stood in for by a draft in the reasoning or a sibling sample, never a recorded fork.")
    print(f"World: {', '.join(f'{n}={getattr(world, n):g}' for n in world.__struct_fields__)}.")
    settings = TriggerSettings()
    print(f"Limits of every policy: {settings.forks_per_iteration} forks an iteration, "
          f"{settings.minimum_gap} characters between two.")
    print("`best in hindsight` chose its signals on these very iterations; `oracle` knows every single outcome.\n")
    for rule in dict.fromkeys(row.rule for row in rows):
        print(f"{rule:<20} saving      of oracle's   speedup  forks drafts profiled stopped tokens")
        for r in (row for row in rows if row.rule == rule):
            print(
                f"  {r.policy:<18}{r.saving:6.1%} ±{r.saving_sd:5.1%} {r.of_oracle:6.0%} ±{r.of_oracle_sd:4.0%}  "
                f"{r.speedup:7.3f} {r.forks:6.2f} {r.drafts:6.2f} {r.profiled:8.2f} {r.stopped:7.1%} {r.tokens:6.2f}"
            )
        print()


if __name__ == "__main__":
    raise SystemExit(main())
