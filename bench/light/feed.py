"""A run without a model: proposes candidates as told, and takes their results as a generator does."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bench.light.candidate import Plan, source
from common.bus import Bus
from common.messages import (
    PREFIX,
    AttemptRevoked,
    Budget,
    CandidateProposed,
    CandidateSettled,
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
from generator.accept import close_out, judge_result, settle
from generator.log import RunLog
from generator.state import RunState

TASK = TaskSource(name="light", source="class Model: pass\n")


class Feed:
    """Used as an async context manager; one iteration is open at a time."""

    def __init__(self, bus: Bus, run: str) -> None:
        self.run = run
        self._bus = bus
        self._log = RunLog(bus, RunState(run))
        self._revoked: dict[tuple[Stage, str], set[int]] = {}
        self._changed = asyncio.Condition()

    @property
    def state(self) -> RunState:
        return self._log.state

    async def start(self, *, iterations: int = 1, stop: str = "never", **fields: Any) -> None:
        await self._log.record(
            RunStarted, task=TASK, budget=Budget(iterations=iterations), llm=Llm(url="http://none", model="none"),
            strategy="refine", device="cpu", speculate=True, stop=stop, drain_seconds=60.0, **fields,
        )

    async def open_iteration(self) -> int:
        number = len(self.state.iterations) + 1
        await self._log.record(IterationStarted, iteration=number, H=tuple(self.state.H), prompt="")
        await self._log.record(GenerationStarted, iteration=number, generation="main", kind="main")
        return number

    async def answer(self) -> None:
        """The main generation ends."""
        number = len(self.state.iterations)
        await self._log.record(GenerationEnded, iteration=number, generation="main", reason="finished", seconds=1.0)

    async def propose(self, name: str, plan: Plan, *, origin: str = "fork") -> CandidateProposed:
        return await self.submit(name, source(f"{self.run} {name}", plan), TASK, "cpu", origin=origin)

    async def submit(
        self, name: str, source: str, task: TaskSource, device: str, *, origin: str = "fork"
    ) -> CandidateProposed:
        """Any source, also for a real judge."""
        fact = await self._log.record(
            CandidateProposed, iteration=len(self.state.iterations), candidate=name, generation=origin, origin=origin,
            source=source, digest=name, task=task, device=device,
        )
        assert isinstance(fact, CandidateProposed)
        return fact

    async def end_iteration(self, reason: str = "stopped") -> IterationEnded:
        number = len(self.state.iterations)
        fact = await self._log.record(IterationEnded, iteration=number, reason=reason, H=tuple(self.state.H))
        assert isinstance(fact, IterationEnded)
        for draft in close_out(self.state, number):
            await self._log.draft(draft)
        return fact

    async def end(self) -> None:
        await self._log.record(RunEnded, reason="iterations")

    async def take_results(self) -> None:
        """Accept or ignore every result; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow("ops.*.attempt.revoked"))
            group.create_task(self._follow(f"res.validate.{self.run}.>", f"res.profile.{self.run}.>"))

    async def _follow(self, *patterns: str) -> None:
        async with self._bus.follow(*(f"{PREFIX}.{pattern}" for pattern in patterns)) as feed:
            async for delivery in feed:
                match delivery.message:
                    case AttemptRevoked() as revoked if revoked.run == self.run:
                        self._revoked.setdefault((revoked.stage, revoked.candidate), set()).add(revoked.attempt)
                    case Verdict() | Profile() as result:
                        await self._take(result, delivery.sequence)

    async def _take(self, result: Verdict | Profile, sequence: int) -> None:
        stage = Stage.VALIDATE if isinstance(result, Verdict) else Stage.PROFILE
        revoked = frozenset(self._revoked.get((stage, result.candidate), ()))
        await self._log.draft(judge_result(self.state, result, stage, sequence, revoked))
        candidate = self.state.candidates.get(result.candidate)
        if candidate and (settled := settle(self.state, candidate)):
            await self._log.draft(settled)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: Callable[[RunState], bool], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: condition(self.state))

    async def until_settled(self, seconds: float = 60.0) -> list[CandidateSettled]:
        """Every candidate of the run has its outcome."""
        await self.until(lambda state: all(c.settled for c in state.candidates.values()), seconds)
        return [c.settled for c in self.state.candidates.values() if c.settled]
