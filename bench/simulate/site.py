"""Where jobs are done: queues by priority, workers, devices held by lease. `common.worker` in virtual time."""
from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from bench.simulate.clock import Clock
from bench.simulate.workload import Candidate
from bench.simulate.world import World
from common.messages import (
    AttemptFailed,
    AttemptStarted,
    Feedback,
    Judgement,
    LeaseReleased,
    LeaseTaken,
    Measurement,
    Message,
    Outcome,
    Profile,
    Stage,
    Verdict,
)
from scheduler.requests import Identity

PRIORITIES = 3
_FAULT_SECONDS = 0.5
"""How long a job takes to find out that its device does not answer."""
_RESTART_SECONDS = 2.0
_NOTHING = Feedback(summary="")
How = Literal["done", "cancelled", "lost", "failed"]


@dataclass(eq=False)
class Job:
    identity: Identity
    attempt: int
    priority: int
    plan: Candidate
    delivery: int = 1
    taken_at: float = 0.0
    device: Device | None = None
    gone: bool = False
    """Cancelled, or its worker died: what was planned for it is void."""


@dataclass(eq=False)
class Device:
    name: str
    role: tuple[Stage, ...] = ()
    job: Job | None = None
    lease: int = 0
    since: float = 0.0
    blocked: bool = False
    """Its lease is held by a worker that died."""
    broken_until: float = 0.0


@dataclass(frozen=True)
class Span:
    """A device held for a job."""

    device: str
    identity: Identity
    start: float
    end: float
    how: How


@dataclass
class Stages:
    """What there is of a stage."""

    free: int
    """Workers without a job."""
    queues: tuple[deque[Job], ...] = field(default_factory=lambda: tuple(deque() for _ in range(PRIORITIES)))
    ready: deque[Job] = field(default_factory=deque)
    """Compiled, waiting for a device."""


class Site:
    """`say` takes what workers publish. `plan_of` gives what will be found of a candidate."""

    def __init__(
        self, clock: Clock, world: World, say: Callable[[Message], None], plan_of: Callable[[Identity], Candidate]
    ) -> None:
        self.spans: list[Span] = []
        self.devices = {f"d{i}": Device(f"d{i}") for i in range(world.devices)}
        self._clock = clock
        self._world = world
        self._say = say
        self._plan_of = plan_of
        self._stages = {stage: Stages(world.slots) for stage in Stage}
        self._jobs: dict[Identity, Job] = {}
        self._leases = 0
        self._random = random.Random(f"{world.seed} site")
        if world.faults_per_hour:
            for device in self.devices.values():
                self._plan_fault(device)

    # ---- from the scheduler

    def publish(self, identity: Identity, attempt: int, priority: int) -> None:
        if identity not in self._jobs:
            job = self._jobs[identity] = Job(identity, attempt, priority, self._plan_of(identity))
            self._stages[identity.stage].queues[priority].append(job)
            self._pull(identity.stage)

    def assign(self, roles: Mapping[str, tuple[Stage, ...]]) -> None:
        for device in self.devices.values():
            role = roles.get(device.name, ())
            if role != device.role:
                device.role = role
                self._look(device)

    def withdraw(self, wanted: Callable[[Identity], bool]) -> None:
        """Remove what waits, end what runs."""
        for job in [job for identity, job in self._jobs.items() if wanted(identity)]:
            self._drop(job)

    def running(self) -> set[str]:
        return {str(job.identity) for job in self._jobs.values() if job.taken_at}

    def queued(self) -> set[Identity]:
        return set(self._jobs)

    def _drop(self, job: Job) -> None:
        del self._jobs[job.identity]
        stage = self._stages[job.identity.stage]
        job.gone = True
        for queue in stage.queues:
            if job in queue:
                queue.remove(job)
                return
        if job in stage.ready:
            stage.ready.remove(job)
        if job.device is not None:
            self._clock.after(self._world.kill_seconds, partial(self._free, job.device, job, "cancelled"))
        self._clock.after(self._world.kill_seconds, partial(self._worker_free, job.identity.stage))

    # ---- workers

    def _pull(self, name: Stage) -> None:
        stage = self._stages[name]
        while stage.free and (queue := next((q for q in stage.queues if q), None)):
            job = queue.popleft()
            stage.free -= 1
            job.taken_at = self._clock.now
            self._say(AttemptStarted(**self._address(job), delivery=job.delivery))
            compiling = job.plan.validate * self._world.compile_share if name is Stage.VALIDATE else 0.0
            self._clock.after(compiling, partial(self._compiled, job))

    def _worker_free(self, name: Stage) -> None:
        self._stages[name].free += 1
        self._pull(name)

    def _compiled(self, job: Job) -> None:
        if job.gone:
            return
        name = job.identity.stage
        for device in self.devices.values():
            if self._usable(device) and name in device.role:
                self._take(job, device)
                return
        self._stages[name].ready.append(job)

    def _usable(self, device: Device) -> bool:
        return device.job is None and not device.blocked

    def _look(self, device: Device) -> None:
        """A job that waits takes the device, if there is one."""
        if not self._usable(device):
            return
        waiting = [self._stages[stage].ready[0] for stage in device.role if self._stages[stage].ready]
        if waiting:
            job = min(waiting, key=lambda job: job.taken_at)
            self._stages[job.identity.stage].ready.popleft()
            self._take(job, device)

    def _take(self, job: Job, device: Device) -> None:
        self._leases += 1
        device.job, device.lease, device.since, job.device = job, self._leases, self._clock.now, device
        self._say(LeaseTaken(
            device=device.name, worker="w", at=self._clock.now, lease=device.lease, stage=job.identity.stage,
            run=job.identity.run, iteration=job.identity.iteration, candidate=job.identity.candidate,
        ))
        seconds = self._seconds(job)
        death = self._random.expovariate(self._world.deaths_per_hour / 3600) if self._world.deaths_per_hour else None
        if self._clock.now < device.broken_until:
            self._clock.after(_FAULT_SECONDS, partial(self._fault, job, device))
        elif death is not None and death < seconds:
            self._clock.after(death, partial(self._die, job, device))
        else:
            self._clock.after(seconds, partial(self._finish, job, device))

    def _seconds(self, job: Job) -> float:
        if job.identity.stage is Stage.PROFILE:
            return job.plan.profile
        return job.plan.validate * (1 - self._world.compile_share)

    def _free(self, device: Device, job: Job, how: How) -> None:
        now = self._clock.now
        self.spans.append(Span(device.name, job.identity, device.since, now, how))
        device.job = job.device = None
        self._say(LeaseReleased(
            device=device.name, worker="w", at=now, stage=job.identity.stage, lease=device.lease,
            seconds=now - device.since, reason=how,
        ))
        self._clock.after(self._random.uniform(0, self._world.poll_seconds), partial(self._look, device))

    def _finish(self, job: Job, device: Device) -> None:
        if job.gone:
            return
        self._free(device, job, "done")
        del self._jobs[job.identity]
        self._say(self._result(job, device))
        self._clock.after(self._world.message_seconds, partial(self._worker_free, job.identity.stage))

    # ---- what goes wrong

    def _fault(self, job: Job, device: Device) -> None:
        if job.gone:
            return
        self._free(device, job, "failed")
        del self._jobs[job.identity]
        reason = f"{device.name} does not answer"
        self._say(AttemptFailed(**self._address(job), reason=reason, device=device.name, quarantine=True))
        self._worker_free(job.identity.stage)

    def _die(self, job: Job, device: Device) -> None:
        """kill -9 of the worker: its message comes again, its lease runs out, its supervisor starts another."""
        if job.gone:
            return
        self.spans.append(Span(device.name, job.identity, device.since, self._clock.now, "lost"))
        device.job, device.blocked, job.gone = None, True, True
        again = Job(job.identity, job.attempt, job.priority, job.plan, job.delivery + 1)
        self._jobs[job.identity] = again
        self._clock.after(_RESTART_SECONDS, partial(self._worker_free, job.identity.stage))
        self._clock.after(self._world.ack_wait, partial(self._deliver_again, again))
        self._clock.after(self._world.lease_seconds, partial(self._unblock, device))

    def _deliver_again(self, job: Job) -> None:
        if not job.gone:
            self._stages[job.identity.stage].queues[job.priority].appendleft(job)
            self._pull(job.identity.stage)

    def _unblock(self, device: Device) -> None:
        device.blocked = False
        self._look(device)

    def _plan_fault(self, device: Device) -> None:
        def strike() -> None:
            device.broken_until = self._clock.now + self._world.fault_seconds
            self._plan_fault(device)

        self._clock.after(self._random.expovariate(self._world.faults_per_hour / 3600), strike)

    # ---- messages

    def _address(self, job: Job) -> dict[str, Any]:
        who = job.identity
        return {
            "worker": "w", "at": self._clock.now, "stage": who.stage, "run": who.run, "iteration": who.iteration,
            "candidate": who.candidate, "attempt": job.attempt,
        }

    def _result(self, job: Job, device: Device) -> Verdict | Profile:
        who, kind = job.identity, Verdict if job.identity.stage is Stage.VALIDATE else Profile
        return kind(
            run=who.run, iteration=who.iteration, candidate=who.candidate, attempt=job.attempt, at=self._clock.now,
            worker="w", device=device.name, lease=device.lease, queue_seconds=0.0,
            judgement=self._judgement(who.stage, job.plan),
        )

    def _judgement(self, stage: Stage, plan: Candidate) -> Judgement:
        seconds = {"compile": plan.validate * self._world.compile_share} if stage is Stage.VALIDATE else {}
        if stage is Stage.VALIDATE:
            outcome = Outcome.PASSED if plan.passes else Outcome.WRONG_VALUES
            return Judgement(outcome=outcome, feedback=_NOTHING, seconds=seconds)
        s = plan.speedup
        measured = Measurement(speedup=s, low=s, high=s, confidence=0.95, candidate_ms=1.0, reference_ms=s, pairs=40)
        return Judgement(outcome=Outcome.PASSED, feedback=_NOTHING, measurement=measured)
