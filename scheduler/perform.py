"""Carrying the core's effects out on the bus. Every one may be repeated without harm."""
from __future__ import annotations

import time

from common.bus import STATE, AlreadyThere, Bus
from common.logs import get_logger
from common.messages import (
    PREFIX,
    Assignment,
    AttemptRevoked,
    Cancel,
    DeviceAssigned,
    Feedback,
    Job,
    Judgement,
    Outcome,
    Profile,
    Stage,
    Verdict,
)
from scheduler.effects import Assign, Effect, GiveUp, Issue, Revoke, Withdraw
from scheduler.requests import Identity, Request

log = get_logger()
CANCEL_KEPT = 86_400.0
"""Seconds a cancellation is kept for workers that find the job only then; no job lives longer."""
_RESULT = {Stage.VALIDATE: Verdict, Stage.PROFILE: Profile}


class Performer:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._state = bus.table(STATE)

    async def perform(self, effect: Effect) -> None:
        match effect:
            case Issue():
                await self._issue(effect)
            case Withdraw():
                await self._withdraw(effect)
            case Revoke():
                await self._revoke(effect)
            case GiveUp():
                await self._give_up(effect)
            case Assign():
                await self._assign(effect)

    async def queued(self) -> dict[Identity, int]:
        """Jobs in the stream, waiting or delivered, as identity to attempt (0 where it is not told by the subject)."""
        subjects = await self._bus.subjects(f"{PREFIX}.job.>")
        return {identity_of(subject): 0 for subject in subjects}

    async def _issue(self, effect: Issue) -> None:
        request = effect.request
        job = job_of(request, effect.priority, time.time(), effect.deadline)
        try:
            await self._bus.record(job)
        except AlreadyThere:
            log.info("job.already_queued", job=str(request.identity), attempt=request.attempt)
        else:
            log.info("job.issued", job=str(request.identity), attempt=request.attempt, priority=effect.priority)

    async def _withdraw(self, effect: Withdraw) -> None:
        """The cancellation stays in the KV for a worker that takes the job before the purge reaches the queue."""
        cancel = Cancel(run=effect.run, iteration=effect.iteration, candidate=effect.candidate, reason=effect.reason)
        await self._state.put(f"cancel.{effect.run}.{effect.iteration}.{effect.candidate or 'all'}", cancel, ttl=CANCEL_KEPT)
        await self._bus.emit(cancel)
        purged = await self._bus.purge(f"{PREFIX}.job.*.*.{effect.run}.{effect.iteration}.{effect.candidate or '*'}")
        log.info("work.withdrawn", run=effect.run, iteration=effect.iteration, purged=purged, reason=effect.reason)

    async def _revoke(self, effect: Revoke) -> None:
        identity = effect.identity
        await self._bus.record(AttemptRevoked(
            worker=self._bus.name, at=time.time(), stage=identity.stage, run=identity.run,
            iteration=identity.iteration, candidate=identity.candidate, attempt=effect.attempt, reason=effect.reason,
        ))
        await self._bus.purge(job_pattern(identity))
        await self._bus.emit(Cancel(
            run=identity.run, iteration=identity.iteration, candidate=identity.candidate, attempt=effect.attempt,
            reason=effect.reason,
        ))
        log.warning("attempt.revoked", job=str(identity), attempt=effect.attempt, reason=effect.reason)

    async def _give_up(self, effect: GiveUp) -> None:
        request, identity = effect.request, effect.request.identity
        tried = "; ".join(request.failures)
        summary = f"could not be judged in {request.attempt} attempts, which is not the candidate's fault: {tried}"
        await self._bus.record(_RESULT[identity.stage](
            run=identity.run, iteration=identity.iteration, candidate=identity.candidate, attempt=request.attempt + 1,
            at=time.time(), worker=self._bus.name, device=None, lease=None, queue_seconds=0.0,
            judgement=Judgement(outcome=Outcome.INFRASTRUCTURE_ERROR, feedback=Feedback(summary=summary)),
        ))

    async def _assign(self, effect: Assign) -> None:
        assignment = Assignment(epoch=effect.epoch, roles=effect.roles)
        await self._state.put("assignment", assignment)
        await self._bus.emit(assignment)
        for device in effect.changed:
            await self._bus.record(DeviceAssigned(
                device=device, at=time.time(), epoch=effect.epoch, stages=effect.roles[device],
                reason="queue_length", numbers=effect.numbers,
            ))


def job_of(request: Request, priority: int, now: float, deadline: float) -> Job:
    proposed, identity = request.proposed, request.identity
    return Job(
        stage=identity.stage, priority=priority, run=identity.run, iteration=identity.iteration,
        candidate=identity.candidate, attempt=request.attempt, issued_at=now, requested_at=request.requested_at,
        deadline=deadline, device=proposed.device, task=proposed.task, source=proposed.source,
    )


def job_pattern(identity: Identity) -> str:
    return f"{PREFIX}.job.{identity.stage}.*.{identity.run}.{identity.iteration}.{identity.candidate}"


def identity_of(subject: str) -> Identity:
    """From `specgen.v1.job.<stage>.<priority>.<run>.<iteration>.<candidate>`."""
    stage, _, run, iteration, candidate = subject.removeprefix(f"{PREFIX}.job.").split(".")
    return Identity(Stage(stage), run, int(iteration), candidate)
