"""One recorded iteration on a live engine: streamed, forked, judged, stopped."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from itertools import count
from typing import Any

from bench.engine.client import Answer, Client
from bench.engine.recorded import Iteration, Outcome, Recorded, Stand
from bench.engine.world import Played, World, judgement
from common.messages import (
    Budget,
    CandidateProposed,
    CandidateSettled,
    Fact,
    GenerationEnded,
    GenerationStarted,
    IterationEnded,
    IterationStarted,
    Llm,
    ResultAccepted,
    RunStarted,
    Stage,
    TaskSource,
)
from common.messages import Outcome as Verdict
from trigger.decide import decide
from trigger.effects import Fork
from trigger.ledger import Ledger
from trigger.policy import ForkState
from trigger.run import RunState, step
from trigger.settings import TriggerSettings

_TASK = TaskSource(name="recorded", source="")


class Run:
    """The iterations of one task, one after the other."""

    def __init__(
        self, client: Client, recorded: Recorded, world: World, settings: TriggerSettings, *, speculate: bool, name: str
    ) -> None:
        self.client, self.recorded, self.world, self.speculate, self.name = client, recorded, world, speculate, name
        self.settings = settings
        self.state, self.ledger = RunState(), Ledger()
        self.H: tuple[float, ...] = ()
        self.known: set[str] = set()
        self.validators = asyncio.Semaphore(world.validators)
        self.profilers = asyncio.Semaphore(world.profilers)
        self._n = count(1)
        self.record(
            RunStarted, task=_TASK, budget=Budget(iterations=1), llm=Llm(url="", model=""), strategy="", device="cuda",
            speculate=speculate, stop="mean", drain_seconds=world.drain_seconds,
        )

    def record(self, kind: type[Fact], /, **fields: Any) -> None:
        fact = kind(run="r", n=next(self._n), at=time.time(), **fields)
        self.state = step(self.state, fact)
        self.ledger.fold(fact)

    async def play(self, iterations: tuple[Iteration, ...]) -> list[Played]:
        played = []
        for number, iteration in enumerate(iterations, start=1):
            played.append(await _Live(self, iteration, number).play())
            if iteration.outcome.passed:
                self.H = (*self.H, iteration.outcome.speedup)
        return played


class _Live:
    def __init__(self, run: Run, iteration: Iteration, number: int) -> None:
        self._run, self._iteration, self._number = run, iteration, number
        self._signals = list(iteration.signals)[::-1] if run.speculate else []
        self._state = ForkState()
        self._played = Played(trace=iteration.trace)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._main = Answer()
        self._answered = False
        self._forks: list[tuple[Answer, bool]] = []
        self._began = 0.0

    async def play(self) -> Played:
        run, it = self._run, self._iteration
        self._began = time.monotonic()
        run.record(IterationStarted, iteration=self._number, H=run.H, prompt="")
        self._start(self._stream())
        try:
            await self._until_over()
        finally:
            await self._abort()
        run.record(IterationEnded, iteration=self._number, reason="", H=run.H)
        p = self._played
        p.seconds = round(self._since(), 3)
        p.main_tokens = len(self._main.ids)
        p.saved_tokens = max(0, len(it.thinking) + len(it.answer) - p.main_tokens) if p.stopped else 0
        p.fork_tokens = sum(len(answer.ids) for answer, _ in self._forks)
        p.wasted_fork_tokens = sum(len(answer.ids) for answer, done in self._forks if not done)
        prompts = sum(a.prompt_tokens for a, _ in self._forks)
        p.cached_share = round(sum(a.cached or 0 for a, _ in self._forks) / prompts, 4) if prompts else None
        p.fork_first_token = [round(a.first_seconds, 4) for a, _ in self._forks if a.times]
        return p

    def _since(self) -> float:
        return time.monotonic() - self._began

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._changed.set()

    async def _until_over(self) -> None:
        """A stop, or every generation and judgement done; what failed is raised."""
        while self._run.state.wanted is None:
            for task in [t for t in self._tasks if t.done()]:
                self._tasks.discard(task)
                task.result()
            if not self._tasks:
                return
            self._changed.clear()
            await self._changed.wait()
        self._played.stopped = not self._answered

    async def _abort(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- generations

    async def _stream(self) -> None:
        it = self._iteration
        said = (*it.thinking, *it.answer)
        self._main = await self._run.client.generate(
            it.prompt, len(said) + 1, forced=said, priority=0, on_token=self._on_main, cache_salt=self._salt()
        )
        self._answered = True
        self._finish("main", it.outcome, len(it.thinking), len(it.answer), "main")

    def _salt(self) -> str:
        return f"{self._run.name} {self._iteration.trace}"

    def _on_main(self, answer: Answer) -> None:
        self._main = answer
        got = min(len(answer.ids), len(self._iteration.thinking))
        chars = self._iteration.ends[got - 1]
        while self._signals and self._signals[-1].seen <= chars:
            signal = self._signals.pop()
            situation = self._run.ledger.situation(
                rate=len(answer.ids) / max(1e-3, self._since()), waiting=self._run.ledger.waiting,
                places=self._run.world.validators + self._run.world.profilers,
            )
            self._state, effects = decide(self._run.settings, self._state, signal, situation)
            for effect in effects:
                if isinstance(effect, Fork):
                    self._fork(effect)

    def _fork(self, fork: Fork) -> None:
        stand = self._iteration.stand_at(fork.at_char)
        if fork.draft is not None:
            self._played.drafts += 1
            self._propose("main", stand.outcome, "draft")
            return
        for _ in range(fork.k):
            self._played.forks += 1
            self._start(self._answer(f"f{self._played.forks}", fork, stand))

    async def _answer(self, name: str, fork: Fork, stand: Stand) -> None:
        it, run = self._iteration, self._run
        cut = min(it.tokens_at(fork.at_char), len(self._main.ids))
        run.record(
            GenerationStarted, iteration=self._number, generation=name, kind="fork", reason=fork.reason,
            numbers=fork.numbers,
        )
        at = len(self._forks)
        self._forks.append((Answer(), False))

        def on_token(answer: Answer) -> None:
            self._forks[at] = (answer, False)

        answer = await run.client.generate(
            (*it.prompt, *it.thinking[:cut], *run.recorded.suffix), len(stand.ids) + 1, forced=stand.ids, priority=1,
            cache_salt=self._salt(), on_token=on_token,
        )
        self._forks[at] = (answer, True)
        self._finish(name, stand.outcome, 0, len(answer.ids), "fork")

    def _finish(self, name: str, outcome: Outcome, reasoning: int, answer: int, origin: str) -> None:
        candidate = self._propose(name, outcome, origin)
        self._run.record(
            GenerationEnded, iteration=self._number, generation=name, reason="finished", reasoning_tokens=reasoning,
            answer_tokens=answer, candidate=candidate,
        )

    # ---- candidates

    def _propose(self, generation: str, outcome: Outcome, origin: str) -> str:
        """A source known in the run is a duplicate: it is not judged again."""
        if outcome.key not in self._run.known:
            self._run.known.add(outcome.key)
            if self._played.first_candidate is None:
                self._played.first_candidate = round(self._since(), 3)
            self._run.record(
                CandidateProposed, iteration=self._number, candidate=outcome.key, generation=generation, origin=origin,
                source="", digest="", task=_TASK, device="cuda",
            )
            self._start(self._judge(outcome))
        return outcome.key

    async def _judge(self, outcome: Outcome) -> None:
        validating, profiling = self._run.world.seconds(outcome)
        async with self._run.validators:
            await asyncio.sleep(validating)
        if outcome.passed:
            async with self._run.profilers:
                await asyncio.sleep(profiling)
            self._played.profiled += 1
            if self._played.first_valid is None:
                self._played.first_valid = round(self._since(), 3)
        self._settle(outcome)

    def _settle(self, outcome: Outcome) -> None:
        self._run.record(
            ResultAccepted, iteration=self._number, candidate=outcome.key, attempt=1, worker="w", device=None,
            stage=Stage.PROFILE if outcome.passed else Stage.VALIDATE, queue_seconds=0.0, sequence=1,
            judgement=judgement(outcome),
        )
        self._run.record(
            CandidateSettled, iteration=self._number, candidate=outcome.key, fate="counted", entered_H=outcome.passed,
            outcome=Verdict.PASSED if outcome.passed else Verdict.WRONG_VALUES,
            speedup=outcome.speedup if outcome.passed else None,
        )
