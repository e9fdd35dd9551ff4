"""What a KV tier is worth under memory pressure: `python -m bench.kv_pressure`.

Recorded reasonings in virtual time with measured costs (bench/kv/costs.py): the share of prefix tokens that had to be
computed again, and the time until everything has ended, by the budget of each replica's cache. The last step of the
ablation: the same forks, with no tier, with vLLM's host offload, and with a shared pool.
"""
from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.kv.costs import Costs
from bench.kv.pressure import Outcome, Reasoning, Simulation, Tier
from bench.traces import REASONING, Trace, default_files, load
from common.errors import SpecgenError, UsageError

PROMPT = 3_000
"""Tokens of a prompt; the recordings do not keep theirs."""
GAP, MOST = 256, 16
"""Tokens between forks, and forks a reasoning: the trigger's limits."""
BUDGETS = (24_000, 48_000, 96_000)
TIERS: tuple[Tier, ...] = ("none", "host", "ours")


def reasoning(trace: Trace) -> Reasoning:
    """Its forks are where a kernel or a candidate was complete; each generates as much as the recorded answer."""
    forks: list[tuple[int, int]] = []
    for mark in sorted(trace.marks, key=lambda mark: mark.end):
        at = trace.token_at(mark.end)
        if 0 < at < trace.tokens and len(forks) < MOST and (not forks or at - forks[-1][0] >= GAP):
            forks.append((at, max(1, trace.answer_tokens)))
    return Reasoning(trace.id, PROMPT, trace.tokens, tuple(forks))


def simulate(
    reasonings: Sequence[Reasoning], costs: Costs, tier: Tier, *, replicas: int, budget: int, tier_budget: int
) -> Outcome:
    return Simulation(reasonings, costs, tier, replicas=replicas, budget=budget, tier_budget=tier_budget).run()


def facts(tier: Tier, budget: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "budget_tokens": budget, "tier": tier, "recomputed_share": outcome.recomputed_share,
        "prefix_tokens": outcome.prefix_tokens, "loaded_tokens": outcome.loaded, "preempted": outcome.preempted,
        "fork_seconds_p50": statistics.median(outcome.fork_seconds) if outcome.fork_seconds else None,
        "seconds": outcome.seconds,
    }


def row(found: dict[str, Any]) -> str:
    return (
        f"{found['budget_tokens']:>9,} {found['tier']:>5} {found['recomputed_share']:>11.1%} "
        f"{found['loaded_tokens']:>12,} {found['preempted']:>9} {found['fork_seconds_p50']:>10.1f} "
        f"{found['seconds']:>9.1f}"
    )


def read_costs(path: Path | None) -> Costs:
    if path is None:
        return Costs()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Costs)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"cannot read the costs in {path}: {error}") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", nargs="*", type=Path, help="files of recorded reasonings")
    parser.add_argument("--runs", type=int, default=16, help="reasonings at once")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="tokens of each replica's cache")
    parser.add_argument("--tier", type=int, default=400_000, help="tokens of the tier; host offload divides them")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    parser.add_argument("--costs", type=Path, help="JSON with other figures than those of bench/kv/costs.py")
    args = parser.parse_args()
    try:
        return measure(args)
    except SpecgenError as error:
        print(f"kv_pressure: {error}")
        return 2


def measure(args: argparse.Namespace) -> int:
    files = args.traces or default_files(REASONING[:1])
    if not files:
        raise UsageError("there are no recorded reasonings: name files of them")
    costs = read_costs(args.costs)
    found = [reasoning(trace) for trace in load(files) if trace.tokens]
    reasonings = [r for r in found if r.forks][: args.runs]
    if not reasonings:
        raise UsageError("no recorded reasoning has a complete kernel in it, so none is forked")
    longest = PROMPT + max(r.tokens + max(answer for _, answer in r.forks) for r in reasonings)
    if small := [budget for budget in args.budgets if budget < longest]:
        raise UsageError(f"the longest request needs {longest:,} tokens: no budget of {small[0]:,} serves it")
    forks = sum(len(r.forks) for r in reasonings)
    if not args.json:
        print(f"{len(reasonings)} reasonings on {args.replicas} replicas, {forks} forks")
        print("   budget  tier  recomputed       loaded preempted fork s p50   total s")
    rows = []
    for budget in args.budgets:
        for tier in TIERS:
            rows.append(facts(tier, budget, simulate(
                reasonings, costs, tier, replicas=args.replicas, budget=budget, tier_budget=args.tier
            )))
            if not args.json:
                print(row(rows[-1]), flush=True)
    if args.json:
        told = {
            "reasonings": len(reasonings), "forks": forks, "replicas": args.replicas, "tier_tokens": args.tier,
            "costs": msgspec.to_builtins(costs), "rows": rows,
        }
        print(json.dumps(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
