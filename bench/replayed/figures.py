"""What a part took and gave, counted from its events alone. Pure."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from bench.light.measure import holds, overlaps
from bench.replayed.play import Played
from common.messages import (
    EngineMeasured,
    GenerationEnded,
    IterationEnded,
    Message,
    PoolAnnounced,
    PoolShrunk,
    ReservationDecided,
    ResultAccepted,
    RunEnded,
    RunStarted,
    Stage,
)
from common.report.summary import Summary, summarise

Lengths = Mapping[tuple[str, int], int]
"""(run, iteration) to the tokens of its recorded reasoning and answer."""


def figures(played: Played, lengths: Lengths, texts: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    """Seconds are summed over runs, each from its own start, but for `wall_seconds`. Shares are of `wall_seconds`.

    `texts`: what was recorded, by (run, iteration).
    """
    summaries = [summarise(events) for events in played.runs.values()]
    wall = _wall(played.events)
    return {
        "seconds": round(sum(s.wall_seconds for s in summaries), 2), "wall_seconds": round(wall, 2),
        "iterations": sum(len(s.iterations) for s in summaries),
        "main_tokens": sum(_said(s, "main") for s in summaries),
        "fork_tokens": sum(_said(s, "fork") for s in summaries),
        "forks": sum(it.forks for s in summaries for it in s.iterations),
        "candidates": sum(it.candidates for s in summaries for it in s.iterations),
        "validated": _accepted(played, Stage.VALIDATE), "profiled": _accepted(played, Stage.PROFILE),
        "stops": sum(it.reason == "stopped" for s in summaries for it in s.iterations),
        "saved_tokens_by_stops": sum(_saved(events, lengths) for events in played.runs.values()),
        "forks_cached": _cached(played.runs.values()),
        "judge": _judge(played.events, wall), "engine": _engine(played.events, wall),
        "said_as_recorded": said_as_recorded(played.said, texts),
        "runs": [_run(s) for s in summaries],
    }


def said_as_recorded(said: Mapping[tuple[str, int], str], texts: Mapping[tuple[str, int], str]) -> bool:
    """Whether every main generation said the recorded words, as far as it got."""
    return bool(said) and all(texts[key].startswith(text) for key, text in said.items())


def _wall(events: Sequence[Message]) -> float:
    starts = [e.at for e in events if isinstance(e, RunStarted)]
    ends = [e.at for e in events if isinstance(e, RunEnded)]
    return max(ends) - min(starts)


def _said(summary: Summary, kind: str) -> int:
    return summary.tokens[kind].reasoning + summary.tokens[kind].answer


def _accepted(played: Played, stage: Stage) -> int:
    return sum(e.stage is stage for e in played.events if isinstance(e, ResultAccepted))


def _saved(events: Iterable[Message], lengths: Lengths) -> int:
    """Tokens that stopped main generations had still to say: known, since the words were."""
    events = list(events)
    stopped = {e.iteration for e in events if isinstance(e, IterationEnded) and e.reason == "stopped"}
    return sum(
        max(0, lengths[e.run, e.iteration] - e.reasoning_tokens - e.answer_tokens)
        for e in events if isinstance(e, GenerationEnded) and e.generation == "main" and e.iteration in stopped
    )


def _cached(runs: Iterable[Sequence[Message]]) -> dict[str, Any]:
    """Prompt tokens of forks that ended by themselves: of aborted ones the engine tells none."""
    ended = [
        e for events in runs for e in events
        if isinstance(e, GenerationEnded) and e.generation != "main" and e.cached_tokens is not None
    ]
    prompt, cached = sum(e.prompt_tokens for e in ended), sum(e.cached_tokens or 0 for e in ended)
    share = round(cached / prompt, 4) if prompt else None
    return {"forks": len(ended), "prompt_tokens": prompt, "cached_tokens": cached, "share": share}


def _judge(events: Sequence[Message], wall: float) -> dict[str, Any]:
    """Leases by device and stage; `overlaps` counts those of a device that began before the one before it ended."""
    held = holds(events)
    busy: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for lease, released in held:
        busy[lease.device][str(lease.stage)] += released.seconds / wall
    return {
        "busy_shares": {device: {stage: round(share, 4) for stage, share in stages.items()}
                        for device, stages in sorted(busy.items())},
        "leases": len(held), "timings": sum(lease.stage is Stage.PROFILE for lease, _ in held),
        "overlaps": overlaps(held),
    }


def _engine(events: Sequence[Message], wall: float) -> dict[str, Any]:
    """From its published load, which tells every change within a second: so short pauses are not seen."""
    loads = sorted((e for e in events if isinstance(e, EngineMeasured)), key=lambda e: e.at)
    if not loads:
        return {}
    spans = [(before, after.at - before.at) for before, after in pairwise(loads)]
    return {
        "busy_share": round(min(1.0, sum(seconds for load, seconds in spans if load.running) / wall), 4),
        "mean_running": round(sum(load.running * seconds for load, seconds in spans) / wall, 3),
        "most_running": max(load.running for load in loads), "most_waiting": max(load.waiting for load in loads),
        "cache_usage_most": round(max(load.cache_usage for load in loads), 4),
        "preemptions": loads[-1].preemptions - loads[0].preemptions,
    }


def pool(events: Sequence[Message]) -> dict[str, int]:
    """The KV pool, where there was one: how large it was, how often it shrank, and which jobs asked for its memory."""
    sizes = [e for e in events if isinstance(e, PoolAnnounced)]
    asked = [e for e in events if isinstance(e, ReservationDecided)]
    return {
        "most_chunks": max((e.chunks for e in sizes), default=0),
        "most_blocks": max((e.blocks for e in sizes), default=0),
        "shrunk": sum(isinstance(e, PoolShrunk) for e in events), "reservations": len(asked),
        "denied": sum(not e.granted for e in asked),
    }


def _run(summary: Summary) -> dict[str, Any]:
    spent = summary.ledger
    return {
        "run": summary.run, "reason": summary.reason, "cause": summary.cause,
        "seconds": round(summary.wall_seconds, 2), "candidates": summary.candidates, "fates": summary.fates,
        "first_candidate_seconds": _rounded(spent.first_candidate_seconds),
        "first_valid_seconds": _rounded(spent.first_valid_seconds), "best_seconds": _rounded(spent.best_seconds),
        "best": round(summary.best.speedup, 3) if summary.best else None,
        "iterations": [
            {"iteration": it.iteration, "reason": it.reason, "seconds": round(it.seconds, 2), "forks": it.forks,
             "candidates": it.candidates, "reasoning_seconds": round(it.reasoning_seconds, 2)}
            for it in summary.iterations
        ],
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
