"""A run in numbers. Every one is computed from its events by `summarise`, and from nothing else."""
from __future__ import annotations

from collections.abc import Sequence

import msgspec

from common.messages import Message
from common.messages.campaign import Budget
from common.report.events import started
from common.report.ledger import Ledger, ledger
from common.report.tally import Tally


class Tokens(msgspec.Struct, kw_only=True):
    generations: int = 0
    prompt: int = 0
    cached: int = 0
    reasoning: int = 0
    answer: int = 0
    aborted: int = 0
    """Generations that were ended before they finished."""


class IterationSummary(msgspec.Struct, kw_only=True):
    iteration: int
    reason: str
    cause: str
    seconds: float
    bar: float | None
    """Mean of H at its start, None while H was empty."""
    reasoning_seconds: float
    """From the start of the main generation to its end, be it finished or stopped."""
    reasoning_tokens: int
    forks: int
    candidates: int
    first_candidate_seconds: float | None
    """From the iteration's start to its first proposed candidate."""
    first_passed_seconds: float | None
    """From the iteration's start to its first accepted passing verdict."""
    early_verdicts: int
    """Verdicts on candidates of forks and drafts that came while the main generation still ran."""


class Best(msgspec.Struct, kw_only=True):
    candidate: str
    iteration: int
    origin: str
    speedup: float
    low: float
    high: float
    confidence: float
    candidate_ms: float
    reference_ms: float
    pairs: int


class Summary(msgspec.Struct, kw_only=True):
    run: str
    task: str
    precision: str
    llm: str
    hardware: str
    """What the kernel was made for and measured on."""
    stop: str
    budget: Budget
    reason: str
    cause: str
    wall_seconds: float
    iterations: list[IterationSummary]
    candidates: dict[str, dict[str, int]]
    """Origin to outcome to count; the outcome of a candidate without one is `unsettled`."""
    fates: dict[str, int]
    """counted, duplicate, late, cancelled. A duplicate is a source seen before, never judged twice."""
    results_ignored: dict[str, int]
    requests_ignored: dict[str, int]
    tokens: dict[str, Tokens]
    """By kind of generation: main, fork."""
    ledger: Ledger
    seconds: dict[str, dict[str, float]]
    """Stage to step to wall seconds over all accepted results; `queue` is the wait for a worker."""
    reasoning_seconds: float
    judging_seconds: float
    """Validation and profiling, without the waits in queues."""
    device_seconds: float
    """For which devices were held for this run."""
    overlapped_seconds: float
    """Of those, while a main generation ran."""
    best: Best | None
    replicas: dict[str, dict[str, int]] = {}
    """Where the run had several replicas: address to the generations sent there. `main`, forks whose prefix was
    `cached`, `loaded` or `computed`, and `moved`: broken off elsewhere and gone on with here."""
    utilisation: dict[str, float]
    """Device to the share of the run's wall time it was leased."""
    attempts_failed: int
    attempts_revoked: int


def summarise(events: Sequence[Message]) -> Summary:
    """UsageError where the events are not those of a run."""
    start = started(events)
    tally = Tally(start)
    for event in events:
        tally.add(event)
    held, overlapped = tally.device_seconds()
    return Summary(
        run=start.run, task=start.task.name, precision=start.task.precision, llm=start.llm.model, budget=start.budget,
        hardware=start.hardware or start.device, stop=start.stop,
        reason=tally.reason, cause=tally.cause, wall_seconds=tally.wall_seconds(),
        iterations=[IterationSummary(**fields) for fields in tally.iterations()],
        candidates=tally.candidates(), fates=dict(tally.fates), results_ignored=dict(tally.results_ignored),
        requests_ignored=dict(tally.requests_ignored),
        tokens={kind: Tokens(**counts) for kind, counts in tally.tokens.items()},
        ledger=ledger(tally), seconds={stage: dict(steps) for stage, steps in tally.seconds.items()},
        reasoning_seconds=sum(fields["reasoning_seconds"] for fields in tally.iterations()),
        judging_seconds=tally.judging_seconds(), device_seconds=held, overlapped_seconds=overlapped,
        best=Best(**best) if (best := tally.best()) else None,
        replicas={url: dict(sent) for url, sent in sorted(tally.replicas.items())},
        utilisation=tally.utilisation(), attempts_failed=tally.attempts_failed, attempts_revoked=tally.attempts_revoked,
    )
