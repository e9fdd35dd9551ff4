"""A scheduler with a clock, and short ways to write messages for it."""
from __future__ import annotations

from collections import defaultdict
from typing import Any

from common.messages import (
    AttemptFailed,
    AttemptStarted,
    CandidateProposed,
    CandidateSettled,
    GenerationEnded,
    IterationEnded,
    IterationStarted,
    LeaseReleased,
    LeaseTaken,
    Message,
    Outcome,
    RunEnded,
    RunStarted,
    Stage,
    WorkerBeat,
)
from common.messages.campaign import Budget, Llm
from scheduler.core import Scheduler
from scheduler.effects import Assign, Effect, Issue, Tell
from scheduler.settings import SchedulerSettings
from tests.facts import TASK, judgement, result

V, P = Stage.VALIDATE, Stage.PROFILE


class Desk:
    """`tell` folds messages and returns what follows, roles and depths left out."""

    def __init__(self, **settings: Any) -> None:
        settings = {"attempts": 2, "attempt_seconds": 100.0, "lost_after": 2.0, "pool_seconds": 0.0} | settings
        self.settings = SchedulerSettings(**settings)
        self.core = Scheduler(self.settings)
        self.now = 0.0
        self.assigned: list[Assign] = []
        self.told: list[Tell] = []
        self.out: list[Issue] = []
        """Jobs that went out and were not served by `serve`."""
        self._facts: defaultdict[str, int] = defaultdict(int)
        self._leases = 0

    def tell(self, *messages: Message) -> list[Effect]:
        for message in messages:
            self.core.observe(message, self.now)
        return self.act()

    def act(self) -> list[Effect]:
        effects = self.core.act(self.now)
        self.assigned += [effect for effect in effects if isinstance(effect, Assign)]
        self.told += [effect for effect in effects if isinstance(effect, Tell)]
        self.out += [effect for effect in effects if isinstance(effect, Issue)]
        return [effect for effect in effects if not isinstance(effect, Assign | Tell)]

    def serve(self, stage: Stage, most: int = 1000, seconds: float = 1.0) -> list[tuple[str, str]]:
        """One device of the stage works off what waits; the runs and candidates in the order taken."""
        order: list[tuple[str, str]] = []
        while len(order) < most and (issue := next((i for i in self.out if i.request.identity.stage is stage), None)):
            self.out.remove(issue)
            who = issue.request.identity
            order.append((who.run, who.candidate))
            taken = self.takes(f"{stage[0]}0", stage, who.candidate, run=who.run)
            self.now += seconds
            judged = result(stage, who.candidate, judgement(Outcome.TIMEOUT), run=who.run, iteration=who.iteration)
            self.tell(taken, self.frees(taken, seconds), judged, self.fixed(stage))
        return order

    def issued(self, *messages: Message) -> list[str]:
        """The candidates whose jobs go out."""
        return [effect.request.identity.candidate for effect in self.tell(*messages) if isinstance(effect, Issue)]

    def roles(self) -> dict[str, str]:
        """Device to its stages' first letters, as assigned last."""
        last = self.assigned[-1].roles if self.assigned else {}
        return {device: "".join(stage[0] for stage in stages) for device, stages in last.items()}

    # ---- facts of a run, numbered

    def n(self, run: str) -> int:
        self._facts[run] += 1
        return self._facts[run]

    def started(self, run: str, **fields: Any) -> RunStarted:
        fields = {"stop": "mean"} | fields
        return RunStarted(
            run=run, n=self.n(run), at=0.0, task=TASK, budget=Budget(iterations=9), llm=Llm(url="http://h", model="m"),
            strategy="refine", device="cpu", speculate=True, drain_seconds=60.0, **fields,
        )

    def iteration(self, number: int, H: tuple[float, ...] = (), run: str = "r") -> IterationStarted:
        return IterationStarted(run=run, n=self.n(run), at=0.0, iteration=number, H=H, prompt="p")

    def answered(self, iteration: int = 1, run: str = "r") -> GenerationEnded:
        return GenerationEnded(
            run=run, n=self.n(run), at=0.0, iteration=iteration, generation="main", reason="finished", seconds=60.0
        )

    def proposed(self, name: str, *, iteration: int = 1, origin: str = "main", run: str = "r") -> CandidateProposed:
        return CandidateProposed(
            run=run, n=self.n(run), at=0.0, iteration=iteration, candidate=name, generation="main",
            origin=origin, source="s", digest=name, task=TASK, device="cpu",  # type: ignore[arg-type]
        )

    def forks(self, *names: str, run: str = "r", iteration: int = 1) -> list[CandidateProposed]:
        return [self.proposed(name, origin="fork", run=run, iteration=iteration) for name in names]

    def settled(
        self, name: str, speedup: float | None = None, *, iteration: int = 1, run: str = "r"
    ) -> CandidateSettled:
        return CandidateSettled(
            run=run, n=self.n(run), at=0.0, iteration=iteration, candidate=name, outcome=Outcome.PASSED,
            fate="counted", speedup=speedup, entered_H=speedup is not None,
        )

    def ended(self, iteration: int = 1, run: str = "r") -> IterationEnded:
        return IterationEnded(run=run, n=self.n(run), at=0.0, iteration=iteration, reason="stopped", H=())

    def run_ended(self, run: str = "r") -> RunEnded:
        return RunEnded(run=run, n=self.n(run), at=0.0, reason="iterations")

    # ---- workers and devices

    def worker(self, stage: Stage, *devices: str, name: str = "", slots: int = 1, able: Any = (V, P)) -> WorkerBeat:
        """A worker that takes `slots` jobs and can use these devices."""
        return WorkerBeat(
            worker=name or f"{stage}r", at=0.0, stage=stage, devices=dict.fromkeys(devices, able), slots=slots
        )

    def pool(self, *devices: str) -> list[WorkerBeat]:
        """Workers of both stages for devices that can serve either."""
        return [self.worker(stage, *devices, slots=len(devices)) for stage in Stage]

    def fixed(self, stage: Stage, count: int = 1) -> WorkerBeat:
        """A worker with as many devices that can serve this stage alone."""
        return self.worker(stage, *(f"{stage[0]}{i}" for i in range(count)), slots=count, able=(stage,))

    def takes(self, device: str, stage: Stage, name: str, *, run: str = "r", worker: str = "") -> LeaseTaken:
        self._leases += 1
        return LeaseTaken(
            device=device, worker=worker or f"{stage}r", at=0.0, stage=stage, lease=self._leases, run=run,
            iteration=1, candidate=name,
        )

    def frees(self, taken: LeaseTaken, seconds: float = 1.0, reason: str = "done") -> LeaseReleased:
        return LeaseReleased(
            device=taken.device, worker=taken.worker, at=0.0, stage=taken.stage, lease=taken.lease, seconds=seconds,
            reason=reason,
        )

    def attempt(self, name: str, attempt: int, stage: Stage = V) -> AttemptStarted:
        return AttemptStarted(
            worker="w", at=0.0, stage=stage, run="r", iteration=1, candidate=name, attempt=attempt, delivery=1
        )

    def failed(self, name: str, attempt: int = 1, stage: Stage = V, **fields: Any) -> AttemptFailed:
        return AttemptFailed(
            worker="w", at=0.0, stage=stage, run="r", iteration=1, candidate=name, attempt=attempt,
            **{"reason": "oom killer"} | fields,
        )

    def passes(self, name: str, stage: Stage = V, *, run: str = "r", attempt: int = 1, speedup: float | None = None
               ) -> Message:
        return result(stage, name, judgement(speedup=speedup), run=run, attempt=attempt)

    def fails(self, name: str, outcome: Outcome = Outcome.WRONG_VALUES, *, run: str = "r") -> Message:
        return result(V, name, judgement(outcome), run=run)
