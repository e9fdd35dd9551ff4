"""One recorded iteration after another in virtual time: tokens flow, forks answer, candidates are judged, stops end it.

Whatever decides is the live code: the parser's signals, a fork policy of the trigger's form, the ledger that sums up
the run's facts, and the stop policy. What is simulated is the world around it: one engine that generates at a constant
rate and slows down a little for each running fork, a few workers that validate (newest first) and profile (first come,
first served), and what a fork answers (`standins`).

H holds the recorded answers of the earlier iterations, whether or not they were waited for, so that every policy has
the same bars to clear: a policy must not look better for having lowered its own.
"""
from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec

from bench.standins import Answer, Pool, Rule
from bench.traces import Trace
from common.messages import (
    Budget,
    CandidateProposed,
    CandidateSettled,
    Fact,
    Feedback,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    Judgement,
    Llm,
    Measurement,
    Outcome,
    ResultAccepted,
    RunStarted,
    Stage,
    TaskSource,
)
from trigger.effects import Fork
from trigger.ledger import Ledger
from trigger.policy import ForkState, Policy
from trigger.run import RunState, step
from trigger.settings import TriggerSettings
from trigger.signals import Signal

_TASK = TaskSource(name="simulated", source="")
_INSTANT = 1e-6
"""Seconds below which two moments are the same."""
_NOTHING = Feedback(summary="")


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The assumptions; every report prints them."""

    rate: float = 50.0
    """Tokens a second of one generation alone."""
    slowdown: float = 0.03
    """Share by which each running fork slows every generation down."""
    fork_speed: float = 1.0
    """Tokens a fork gets for each one of the reasoning: more than one with prompt lookup."""
    prefill_seconds: float = 0.2
    """From the request to a fork's first token, its prefix cached."""
    validators: int = 2
    profilers: int = 1
    validation_share: float = 0.6
    """Part of a recorded judging time that is validation; a candidate that fails takes that part alone."""
    drain_seconds: float = 60.0
    spread: float = 0.03
    """Half width of a measured speedup's confidence interval."""


class Result(msgspec.Struct, kw_only=True):
    """What an iteration took and gave."""

    seconds: float = 0.0
    main_tokens: int = 0
    fork_tokens: int = 0
    forks: int = 0
    drafts: int = 0
    profiled: int = 0
    valid: int = 0
    stopped: bool = False

    def add(self, other: Result) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What speculates: the signals it listens to and the policy they go through. No signals: no speculation."""

    policy: Policy
    signals: dict[str, Sequence[Signal]]


class Run:
    """The iterations of one task. Its state between them is what the run's facts say, as it is live."""

    def __init__(
        self, pool: Pool, rule: Rule, seed: int, world: World, settings: TriggerSettings, judge_seconds: Sequence[float]
    ) -> None:
        self.pool, self.rule, self.seed = pool, rule, seed
        self.world, self.settings, self.judge_seconds = world, settings, judge_seconds
        self.now = 0.0
        self.H: tuple[float, ...] = ()
        self.iteration = 0
        self.state = RunState()
        self.ledger = Ledger()
        self.known: set[str] = set()
        self._n = count(1)
        self.record(
            RunStarted, task=_TASK, budget=Budget(iterations=1), llm=Llm(url="", model=""), strategy="", device="cuda",
            speculate=True, stop="mean", drain_seconds=world.drain_seconds,
        )

    def record(self, kind: type[Fact], /, **fields: Any) -> None:
        fact = kind(run="r", n=next(self._n), at=self.now, **fields)
        self.state = step(self.state, fact)
        self.ledger.fold(fact)

    def rehearsal(self) -> Run:
        """A copy on which an iteration can be tried out; the run itself does not notice."""
        other = Run(self.pool, self.rule, self.seed, self.world, self.settings, self.judge_seconds)
        other.now, other.H, other.iteration, other.known = self.now, self.H, self.iteration, set(self.known)
        return other

    def play(self, trace: Trace, plan: Plan) -> Result:
        """One iteration to its end."""
        return _Iteration(self, trace, plan).play()


class _Generating(msgspec.Struct):
    name: str
    answer: Answer
    left: float
    """Tokens to go, at the reasoning's speed, its time to the first token among them."""
    began: float


class _Iteration:
    def __init__(self, run: Run, trace: Trace, plan: Plan) -> None:
        self._run, self._trace, self._plan = run, trace, plan
        self._signals = list(plan.signals.get(trace.id, ()))[::-1]
        self._forks: list[_Generating] = []
        self._state = ForkState()
        self._done_tokens = 0.0
        self._total = trace.tokens + trace.answer_tokens
        self._waiting: dict[Stage, list[tuple[str, Answer]]] = {Stage.VALIDATE: [], Stage.PROFILE: []}
        self._free = {Stage.VALIDATE: run.world.validators, Stage.PROFILE: run.world.profilers}
        self._judging: list[tuple[float, int, Stage, str, Answer]] = []
        self._order = count()
        self._names = count(1)
        self._open = 0
        self._answered_at: float | None = None
        self._result = Result()

    def play(self) -> Result:
        run, began = self._run, self._run.now
        run.iteration += 1
        run.record(IterationStarted, iteration=run.iteration, H=run.H, prompt="")
        while not self._over():
            self._advance()
        run.record(IterationEnded, iteration=run.iteration, reason="", H=run.H)
        r = self._result
        r.seconds, r.main_tokens = run.now - began, round(self._done_tokens)
        r.fork_tokens += sum(self._generated(f) for f in self._forks)
        main = run.pool.main(self._trace, run.seed)
        run.H = (*run.H, main.speedup) if main.passed else run.H
        return r

    def _over(self) -> bool:
        if self._run.state.wanted is not None:
            self._result.stopped = True
            return True
        if self._answered_at is None:
            return False
        drained = self._run.now - self._answered_at >= self._run.world.drain_seconds - _INSTANT
        return drained or (self._open == 0 and not self._forks)

    # ---- the next thing that happens

    def _advance(self) -> None:
        world = self._run.world
        speed = world.rate / (1 + world.slowdown * len(self._forks))
        waits = [(self._main_wait(speed), self._on_main)]
        if self._forks:
            fork = min(self._forks, key=lambda f: f.left)
            waits.append((fork.left / speed, lambda: self._on_fork(fork)))
        if self._judging:
            waits.append((self._judging[0][0] - self._run.now, self._on_judged))
        if self._answered_at is not None:
            waits.append((self._answered_at + world.drain_seconds - self._run.now, lambda: None))
        wait, happens = min(waits, key=lambda item: item[0])
        self._pass(max(0.0, wait), speed)
        happens()

    def _pass(self, seconds: float, speed: float) -> None:
        self._run.now += seconds
        if self._answered_at is None:
            self._done_tokens += seconds * speed
        for fork in self._forks:
            fork.left -= seconds * speed

    def _main_wait(self, speed: float) -> float:
        if self._answered_at is not None:
            return float("inf")
        until = self._signals[-1].seen / self._trace.chars_per_token if self._signals else self._total
        return (min(until, self._total) - self._done_tokens) / speed

    def _on_main(self) -> None:
        if not self._signals:
            self._on_answer()
            return
        signal = self._signals.pop()
        run = self._run
        situation = run.ledger.situation(
            rate=run.world.rate, places=run.world.validators + run.world.profilers, waiting=run.ledger.waiting
        )
        self._state, forks = self._plan.policy(run.settings, self._state, signal, situation)
        for fork in forks:
            self._fork(fork)

    def _on_answer(self) -> None:
        self._answered_at = self._run.now
        self._ended("main", self._run.pool.main(self._trace, self._run.seed), self._trace.tokens, "main")

    # ---- forks

    def _fork(self, fork: Fork) -> None:
        run = self._run
        for _ in range(fork.k):
            ordinal = self._result.forks + self._result.drafts
            answer = run.pool.fork(run.rule, self._trace, fork.at_char, ordinal, run.seed)
            if fork.draft is not None:
                self._result.drafts += 1
                self._propose("main", answer, "draft")
                continue
            self._result.forks += 1
            name = f"f{self._result.forks}"
            lead = run.world.prefill_seconds * run.world.rate
            left = lead + answer.tokens / run.world.fork_speed
            self._forks.append(_Generating(name, answer, left, run.now))
            run.record(
                GenerationStarted, iteration=run.iteration, generation=name, kind="fork", reason=fork.reason,
                numbers=fork.numbers,
            )

    def _on_fork(self, fork: _Generating) -> None:
        self._forks.remove(fork)
        self._result.fork_tokens += fork.answer.tokens
        self._ended(fork.name, fork.answer, 0, "fork", self._run.now - fork.began)

    def _generated(self, fork: _Generating) -> int:
        """Tokens of one that still runs."""
        return max(0, round(fork.answer.tokens - fork.left * self._run.world.fork_speed))

    def _ended(self, name: str, answer: Answer, reasoning: int, origin: str, seconds: float = 0.0) -> None:
        candidate = self._propose(name, answer, origin)
        self._run.record(
            GenerationEnded, iteration=self._run.iteration, generation=name, reason="finished",
            reasoning_tokens=reasoning, answer_tokens=answer.tokens, candidate=candidate, seconds=seconds,
        )

    # ---- candidates

    def _propose(self, generation: str, answer: Answer, origin: str) -> str:
        """A source known in the run is a duplicate: it is not judged again."""
        run = self._run
        if answer.key in run.known:
            return answer.key
        run.known.add(answer.key)
        run.record(
            CandidateProposed, iteration=run.iteration, candidate=answer.key, generation=generation, origin=origin,
            source="", digest="", task=_TASK, device="cuda",
        )
        self._open += 1
        self._waiting[Stage.VALIDATE].append((answer.key, answer))
        self._dispatch()
        return answer.key

    def _dispatch(self) -> None:
        for stage, newest_first in ((Stage.VALIDATE, True), (Stage.PROFILE, False)):
            queue = self._waiting[stage]
            while queue and self._free[stage]:
                key, answer = queue.pop(-1 if newest_first else 0)
                self._free[stage] -= 1
                ends = self._run.now + self._seconds(stage, key)
                heapq.heappush(self._judging, (ends, next(self._order), stage, key, answer))

    def _seconds(self, stage: Stage, key: str) -> float:
        total = random.Random(f"{self._run.seed}:{key}:judge").choice(self._run.judge_seconds)
        share = self._run.world.validation_share
        return total * (share if stage is Stage.VALIDATE else 1 - share)

    def _on_judged(self) -> None:
        _, _, stage, key, answer = heapq.heappop(self._judging)
        self._free[stage] += 1
        if stage is Stage.VALIDATE and answer.passed:
            self._waiting[Stage.PROFILE].append((key, answer))
        else:
            self._settle(stage, key, answer)
        self._dispatch()

    def _settle(self, stage: Stage, key: str, answer: Answer) -> None:
        run, passed = self._run, stage is Stage.PROFILE
        self._open -= 1
        self._result.profiled += passed
        self._result.valid += passed
        run.record(
            ResultAccepted, iteration=run.iteration, candidate=key, stage=stage, attempt=1, worker="w", device=None,
            queue_seconds=0.0, sequence=1, judgement=_judgement(answer, passed, run.world.spread),
        )
        run.record(
            CandidateSettled, iteration=run.iteration, candidate=key, fate="counted", entered_H=passed,
            outcome=Outcome.PASSED if passed else Outcome.WRONG_VALUES, speedup=answer.speedup if passed else None,
        )


def _judgement(answer: Answer, passed: bool, spread: float) -> Judgement:
    if not passed:
        return Judgement(outcome=Outcome.WRONG_VALUES, feedback=_NOTHING)
    s = answer.speedup
    return Judgement(outcome=Outcome.PASSED, feedback=_NOTHING, measurement=Measurement(
        speedup=s, low=s * (1 - spread), high=s * (1 + spread), confidence=0.95, candidate_ms=1.0, reference_ms=s,
        pairs=40,
    ))
