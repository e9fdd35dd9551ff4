"""Counting a run's events, one at a time. The live view shows it while it grows, the summary when it is complete."""
from __future__ import annotations

from collections import Counter, defaultdict
from statistics import fmean
from typing import Any, NamedTuple

from common.messages import (
    AttemptFailed,
    AttemptRevoked,
    CandidateDuplicated,
    CandidateProposed,
    CandidateSettled,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    LeaseReleased,
    LeaseTaken,
    Message,
    Outcome,
    RequestIgnored,
    ResultAccepted,
    ResultIgnored,
    RunEnded,
    RunStarted,
    Stage,
)

_QUEUE = "queue"


class Held(NamedTuple):
    """A device leased for a candidate; unix seconds."""

    device: str
    candidate: str
    since: float
    until: float

    @property
    def seconds(self) -> float:
        return self.until - self.since


class Tally:
    def __init__(self, start: RunStarted) -> None:
        self.start = start
        self.last_at = start.at
        self.reason = "unfinished"
        self.cause = ""
        self.best_candidate: str | None = None
        self.proposed: dict[str, CandidateProposed] = {}
        self.settled: dict[str, CandidateSettled] = {}
        self.results: dict[tuple[str, Stage], ResultAccepted] = {}
        self.fates: Counter[str] = Counter()
        self.results_ignored: Counter[str] = Counter()
        self.requests_ignored: Counter[str] = Counter()
        self.tokens: dict[str, Counter[str]] = {"main": Counter(), "fork": Counter()}
        self.seconds: dict[str, defaultdict[str, float]] = {str(stage): defaultdict(float) for stage in Stage}
        self.attempts_failed = 0
        self.attempts_revoked = 0
        self.iteration_started: dict[int, IterationStarted] = {}
        self.iteration_ended: dict[int, IterationEnded] = {}
        self.generations: dict[tuple[int, str], GenerationStarted] = {}
        self.generations_ended: dict[tuple[int, str], GenerationEnded] = {}
        self.replicas: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Address to what was sent there, where the run has several: `main`, forks by how they came by their prefix,
        and `moved` for what went on there after another had broken it off."""
        self._leases: dict[str, LeaseTaken] = {}
        """By device, those that nobody has returned yet."""
        self._returned: list[Held] = []

    def add(self, event: Message) -> None:
        match event:
            case RunEnded():
                self.reason, self.cause, self.best_candidate = event.reason, event.cause, event.best
            case IterationStarted():
                self.iteration_started[event.iteration] = event
            case IterationEnded():
                self.iteration_ended[event.iteration] = event
            case GenerationStarted():
                self._generation_started(event)
            case GenerationEnded():
                self._generation_ended(event)
            case CandidateProposed():
                self.proposed[event.candidate] = event
            case CandidateDuplicated():
                self.fates["duplicate"] += 1
            case ResultAccepted():
                self._accepted(event)
            case ResultIgnored():
                self.results_ignored[event.reason] += 1
            case CandidateSettled():
                self.settled[event.candidate] = event
                self.fates[event.fate] += 1
            case RequestIgnored():
                self.requests_ignored[event.kind] += 1
            case LeaseTaken() | LeaseReleased():
                self._lease(event)
            case AttemptFailed():
                self.attempts_failed += event.run == self.start.run
            case AttemptRevoked():
                self.attempts_revoked += event.run == self.start.run
        if getattr(event, "run", None) == self.start.run:
            self.last_at = max(self.last_at, getattr(event, "at", self.last_at))

    def _generation_started(self, event: GenerationStarted) -> None:
        """One that was resumed starts twice under one name and counts once, from its first start."""
        if (event.iteration, event.generation) not in self.generations:
            self.generations[event.iteration, event.generation] = event
            self.tokens[event.kind]["generations"] += 1
        if place := event.placement:
            sent = "main" if event.kind == "main" else place.prefix
            self.replicas[place.replica]["moved" if event.resumed_at_token is not None else sent] += 1

    def _generation_ended(self, event: GenerationEnded) -> None:
        started = self.generations[event.iteration, event.generation]
        counts = self.tokens[started.kind]
        counts["prompt"] += event.prompt_tokens
        counts["cached"] += event.cached_tokens or 0
        counts["reasoning"] += event.reasoning_tokens
        counts["answer"] += event.answer_tokens
        counts["aborted"] += event.reason == "aborted"
        self.generations_ended[event.iteration, event.generation] = event

    def _accepted(self, event: ResultAccepted) -> None:
        self.results[event.candidate, event.stage] = event
        steps = self.seconds[event.stage]
        steps[_QUEUE] += event.queue_seconds
        for step, seconds in event.judgement.seconds.items():
            steps[step] += seconds

    def _lease(self, event: LeaseTaken | LeaseReleased) -> None:
        """A lease counts for this run where the job it was taken for is this run's."""
        taken = self._leases.get(event.device)
        if isinstance(event, LeaseReleased):
            if taken and taken.lease == event.lease:
                self._returned.append(Held(event.device, taken.candidate, event.at - event.seconds, event.at))
                del self._leases[event.device]
            return
        if taken:  # its holder died: nobody says since when, but it has the device no more
            self._returned.append(Held(event.device, taken.candidate, taken.at, event.at))
            del self._leases[event.device]
        if event.run == self.start.run:
            self._leases[event.device] = event

    # ---- what follows from the counts

    def wall_seconds(self) -> float:
        return self.last_at - self.start.at

    def held(self) -> list[Held]:
        """Each lease; one that nobody has returned yet lasts until now."""
        return self._returned + [
            Held(taken.device, taken.candidate, taken.at, max(taken.at, self.last_at))
            for taken in self._leases.values()
        ]

    def utilisation(self) -> dict[str, float]:
        wall, busy = self.wall_seconds(), defaultdict[str, float](float)
        for held in self.held():
            busy[held.device] += held.seconds
        return {device: seconds / wall for device, seconds in sorted(busy.items())} if wall else {}

    def device_seconds(self) -> tuple[float, float]:
        """Seconds for which devices were held, and how many of them while a main generation ran."""
        held, thinking = self.held(), self._thinking()
        shared = (max(0.0, min(h.until, until) - max(h.since, since)) for h in held for since, until in thinking)
        return sum(h.seconds for h in held), sum(shared)

    def _thinking(self) -> list[tuple[float, float]]:
        """From the start to the end of each main generation."""
        ends = {number: end.at for number, end in self.iteration_ended.items()}
        return [
            (main.at, self._thinking_until(number, ends.get(number, self.last_at)))
            for (number, name), main in self.generations.items() if name == "main"
        ]

    def judging_seconds(self) -> float:
        return sum(s for steps in self.seconds.values() for step, s in steps.items() if step != _QUEUE)

    def candidates(self) -> dict[str, dict[str, int]]:
        table: dict[str, Counter[str]] = defaultdict(Counter)
        for name, proposed in self.proposed.items():
            settled = self.settled.get(name)
            table[proposed.origin][str(settled.outcome) if settled and settled.outcome else "unsettled"] += 1
        return {origin: dict(counts) for origin, counts in sorted(table.items())}

    def best(self) -> dict[str, Any] | None:
        """The fastest candidate that counts, with its measurement."""
        counted = [s for s in self.settled.values() if s.entered_H and s.speedup is not None]
        if not counted:
            return None
        best = max(counted, key=lambda s: s.speedup or 0.0)
        measured = self.results[best.candidate, Stage.PROFILE].judgement.measurement
        assert measured is not None
        return {
            "candidate": best.candidate, "iteration": best.iteration, "origin": self.proposed[best.candidate].origin,
            "speedup": measured.speedup, "low": measured.low, "high": measured.high,
            "confidence": measured.confidence, "candidate_ms": measured.candidate_ms,
            "reference_ms": measured.reference_ms, "pairs": measured.pairs,
        }

    def iterations(self) -> list[dict[str, Any]]:
        return [self._iteration(number, start) for number, start in sorted(self.iteration_started.items())]

    def _iteration(self, number: int, start: IterationStarted) -> dict[str, Any]:
        ended = self.iteration_ended.get(number)
        end_at = ended.at if ended else self.last_at
        thinking_until = self._thinking_until(number, end_at)
        main = self.generations.get((number, "main"))
        proposed = [p for p in self.proposed.values() if p.iteration == number]
        verdicts = [r for r in self.results.values() if r.iteration == number and r.stage is Stage.VALIDATE]
        passed = [r.at for r in verdicts if r.judgement.outcome is Outcome.PASSED]
        early = [r for r in verdicts if self.proposed[r.candidate].origin != "main" and r.at < thinking_until]
        main_ended = self.generations_ended.get((number, "main"))
        return {
            "iteration": number, "reason": ended.reason if ended else "open", "cause": ended.cause if ended else "",
            "seconds": end_at - start.at, "bar": fmean(start.H) if start.H else None,
            "reasoning_seconds": thinking_until - main.at if main else 0.0,
            "reasoning_tokens": main_ended.reasoning_tokens if main_ended else 0,
            "forks": sum(g.kind == "fork" for (i, _), g in self.generations.items() if i == number),
            "candidates": len(proposed),
            "first_candidate_seconds": min((p.at - start.at for p in proposed), default=None),
            "first_passed_seconds": min((at - start.at for at in passed), default=None),
            "early_verdicts": len(early),
        }

    def _thinking_until(self, number: int, end_at: float) -> float:
        """When the main generation ended: by itself, or with its iteration."""
        ended = self.generations_ended.get((number, "main"))
        return min(ended.at, end_at) if ended else end_at
