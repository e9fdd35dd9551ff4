"""One run: a model that thinks and forks, and the generator's and trigger's rules around it."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from bench.simulate.clock import Clock
from bench.simulate.forking import Forker
from bench.simulate.workload import Candidate, Iteration
from bench.simulate.world import World
from common.messages import (
    AttemptRevoked,
    Budget,
    CandidateProposed,
    Fact,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    Llm,
    Profile,
    RunEnded,
    RunStarted,
    Stage,
    TaskSource,
    Verdict,
)
from generator.accept import Draft, close_out, judge_result, settle
from generator.budget import exhausted
from generator.ending import Ending, ending, next_look
from generator.state import RunState
from trigger import run as stopping

TASK = TaskSource(name="simulated", source="")
MAIN = "main"


class Future(Protocol):
    """What a run will bring."""

    def iteration(self, number: int) -> Iteration: ...

    def fork(self, iteration: int, number: int, depth: float) -> Candidate: ...


class Run:
    """`tell` takes each fact as it is recorded."""

    def __init__(
        self, name: str, clock: Clock, world: World, future: Future, tell: Callable[[Fact], None],
        load: Callable[[], tuple[int, int]], **fields: Any,
    ) -> None:
        self.name = name
        self.state = RunState(name)
        self.plans: dict[str, Candidate] = {}
        """What will be found of each candidate."""
        self._clock = clock
        self._world = world
        self._future = future
        self._tell = tell
        self._fields = fields
        self._stops = stopping.RunState()
        self._forker = Forker(world, load)
        self._revoked: defaultdict[tuple[Stage, str], set[int]] = defaultdict(set)
        self._sequence = 0
        self._number = 0
        self._look_at = float("inf")

    # ---- the log

    def record(self, kind: type[Fact], /, **fields: Any) -> Fact:
        fact = kind(run=self.name, n=self.state.n + 1, at=self._clock.now, **fields)
        self.state.apply(fact)
        self._stops = stopping.step(self._stops, fact)
        self._forker.ledger.fold(fact)
        self._tell(fact)
        return fact

    def _draft(self, draft: Draft) -> Fact:
        return self.record(draft.kind, **draft.fields)

    # ---- iterations

    def begin(self) -> None:
        w = self._world
        self.record(
            RunStarted, task=TASK, budget=Budget(iterations=w.iterations), llm=Llm(url="", model=""), strategy="refine",
            device="cuda", speculate=w.forks != "none", stop=w.stop, drain_seconds=w.drain_seconds, **self._fields,
        )
        self._open()

    def _open(self) -> None:
        if reason := exhausted(self.state, now=self._clock.now, tokens=0):
            best = self.state.best()
            self.record(RunEnded, reason=reason, best=best.proposed.candidate if best else None)
            return
        self._number += 1
        self._plan = self._future.iteration(self._number)
        self._forks = 0
        self._running = 0
        self._done, self._since, self._moves = 0.0, self._clock.now, 0
        self._triggers = list(self._plan.triggers)[::-1]
        self._forker.begin()
        self.record(IterationStarted, iteration=self._number, H=tuple(self.state.H), prompt="")
        self.record(GenerationStarted, iteration=self._number, generation=MAIN, kind="main")
        self._go_on()

    @property
    def over(self) -> bool:
        return self.state.ended is not None

    def _in_iteration(self, what: Callable[[], None]) -> Callable[[], None]:
        """Happens only if the iteration of now is still open then."""
        number = self._number

        def happen() -> None:
            if self._number == number and self.state.current is not None:
                what()

        return happen

    def _check(self) -> None:
        """Whether the iteration ends now, or when time alone may end it."""
        if self.state.current is None:
            return
        if (stop := self._stops.wanted) is not None:
            self._end(Ending("stopped", stop.candidate, numbers=stop.numbers))
        elif end := ending(self.state, now=self._clock.now, tokens=0):
            self._end(end)
        elif (wait := next_look(self.state, self._clock.now)) is not None:
            at = self._clock.now + wait
            if at != self._look_at:
                self._look_at = at
                self._clock.after(wait, self._in_iteration(self._check))

    def _end(self, end: Ending) -> None:
        number, state = self._number, self.state
        self.record(
            IterationEnded, iteration=number, reason=end.reason, cause=end.cause, H=tuple(state.H),
            numbers=end.numbers or {},
        )
        for name, generation in state.iterations[number - 1].generations.items():
            if generation.ended is None:
                self._ended(name, "aborted", None, self._clock.now - generation.started.at)
        for draft in close_out(state, number):
            self._draft(draft)
        self._clock.after(self._world.pause_seconds, self._open)

    def _ended(self, name: str, reason: str, candidate: str | None, seconds: float) -> None:
        reasoning = round(min(self._done, self._plan.reasoning)) if name == MAIN else 0
        self.record(
            GenerationEnded, iteration=self._number, generation=name, reason=reason, reasoning_tokens=reasoning,
            seconds=seconds, candidate=candidate,
        )

    # ---- the main generation, slowed down by the forks beside it

    def _speed(self) -> float:
        return self._world.rate / (1 + self._world.slowdown * self._running)

    def _advance(self) -> None:
        self._done += (self._clock.now - self._since) * self._speed()
        self._since = self._clock.now

    def _go_on(self) -> None:
        """Plan the next thing it does; whatever was planned before is void."""
        self._moves += 1
        until = self._triggers[-1] if self._triggers else self._plan.reasoning + self._plan.main.tokens
        wait = max(0.0, until - self._done) / self._speed()
        self._clock.after(wait, self._in_iteration(partial(self._move, self._moves)))

    def _move(self, move: int) -> None:
        if move != self._moves:
            return
        self._advance()
        if self._triggers:
            self._trigger(self._triggers.pop())
            self._go_on()
        else:
            self._answer()

    def _trigger(self, tokens: float) -> None:
        for fork in self._forker.asks(tokens, self._running):
            for _ in range(fork.k):
                if self._forks < self._world.forks_per_iteration:
                    self._fork(tokens, fork.reason, fork.numbers)

    def _answer(self) -> None:
        started = self.state.iterations[-1].generations[MAIN].started.at
        candidate = self._propose(self._plan.main, MAIN, "main")
        self._ended(MAIN, "finished", candidate, self._clock.now - started)
        self._check()

    # ---- forks and candidates

    def _fork(self, tokens: float, reason: str, numbers: dict[str, float]) -> None:
        self._advance()
        self._forks += 1
        self._running += 1
        name = f"f{self._forks}"
        brings = self._future.fork(self._number, self._forks, tokens / self._plan.reasoning)
        self.record(
            GenerationStarted, iteration=self._number, generation=name, kind="fork", parent=MAIN, reason=reason,
            at_token=round(tokens), numbers=numbers,
        )
        seconds = self._world.prefill_seconds + brings.tokens / self._world.rate
        self._clock.after(seconds, self._in_iteration(partial(self._forked, name, brings, seconds)))

    def _forked(self, name: str, brings: Candidate, seconds: float) -> None:
        self._advance()
        self._running -= 1
        candidate = self._propose(brings, name, "fork")
        self._ended(name, "finished", candidate, seconds)
        if self.state.iterations[-1].generations[MAIN].ended is None:
            self._go_on()
        self._check()

    def _propose(self, brings: Candidate, generation: str, origin: str) -> str:
        name = f"c{len(self.state.candidates) + 1}"
        self.plans[name] = brings
        self.record(
            CandidateProposed, iteration=self._number, candidate=name, generation=generation, origin=origin,
            source="", digest=name, task=TASK, device="cuda",
        )
        return name

    # ---- results

    def revoked(self, message: AttemptRevoked) -> None:
        self._revoked[message.stage, message.candidate].add(message.attempt)

    def result(self, result: Verdict | Profile) -> None:
        stage = Stage.VALIDATE if isinstance(result, Verdict) else Stage.PROFILE
        self._sequence += 1
        revoked = frozenset(self._revoked.get((stage, result.candidate), ()))
        self._draft(judge_result(self.state, result, stage, self._sequence, revoked))
        candidate = self.state.candidates.get(result.candidate)
        if candidate and (settled := settle(self.state, candidate)):
            self._draft(settled)
        self._check()

