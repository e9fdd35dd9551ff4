"""What a run spent on its reasoning and on speculation, what speculation was good for, and how soon. Pure."""
from __future__ import annotations

from statistics import fmean

import msgspec

from common.messages import Outcome, Stage
from common.report.tally import Tally


class Spent(msgspec.Struct, kw_only=True):
    tokens: int = 0
    """Generated: reasoning and answers."""
    device_seconds: float = 0.0


class Ledger(msgspec.Struct, kw_only=True):
    main: Spent
    used: Spent
    """By forks and drafts whose candidate entered the history: it was new, right and measured."""
    wasted: Spent
    """By all other forks and drafts."""
    saved_tokens: int | None
    """By stopping, estimated: what the stopped reasonings lacked of the mean length of the run's finished ones. None
    where none was stopped, or none finished to compare with."""
    first_candidate_seconds: float | None
    """From the run's start, like the next two."""
    first_valid_seconds: float | None
    """To the first accepted passing verdict."""
    best_seconds: float | None
    """To the accepted measurement of the best candidate."""


def ledger(tally: Tally) -> Ledger:
    spent = {"main": Spent(), "used": Spent(), "wasted": Spent()}
    for (iteration, name), ended in tally.generations_ended.items():
        kind = tally.generations[iteration, name].kind
        purpose = "main" if kind == "main" else _worth(tally, ended.candidate, iteration, name)
        spent[purpose].tokens += ended.reasoning_tokens + ended.answer_tokens
    for held in tally.held():
        proposed = tally.proposed.get(held.candidate)
        if proposed is not None:
            main = proposed.origin == "main"
            purpose = "main" if main else _worth(tally, held.candidate, proposed.iteration, proposed.generation)
            spent[purpose].device_seconds += held.seconds
    best = tally.best()
    return Ledger(
        **spent, saved_tokens=_saved(tally),
        first_candidate_seconds=_since(tally, [p.at for p in tally.proposed.values()]),
        first_valid_seconds=_since(tally, [
            r.at for (_, stage), r in tally.results.items()
            if stage is Stage.VALIDATE and r.judgement.outcome is Outcome.PASSED
        ]),
        best_seconds=_since(tally, [tally.results[best["candidate"], Stage.PROFILE].at] if best else []),
    )


def _worth(tally: Tally, candidate: str | None, iteration: int, generation: str) -> str:
    """Of a fork or draft. One that repeated another's candidate was for nothing; names recur from iteration to
    iteration."""
    proposed = tally.proposed.get(candidate or "")
    settled = tally.settled.get(candidate or "")
    own = proposed is not None and (proposed.iteration, proposed.generation) == (iteration, generation)
    return "used" if own and settled is not None and settled.entered_H else "wasted"


def _saved(tally: Tally) -> int | None:
    mains = [ended for (_, name), ended in tally.generations_ended.items() if name == "main"]
    finished = [e.reasoning_tokens + e.answer_tokens for e in mains if e.reason == "finished"]
    stopped = [
        e.reasoning_tokens + e.answer_tokens for e in mains
        if e.reason == "aborted" and (over := tally.iteration_ended.get(e.iteration)) and over.reason == "stopped"
    ] if finished else []
    return round(sum(max(0.0, fmean(finished) - tokens) for tokens in stopped)) if stopped else None


def _since(tally: Tally, at: list[float]) -> float | None:
    return min(at) - tally.start.at if at else None
