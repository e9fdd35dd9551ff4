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
    QueueDepth,
    Stage,
    Verdict,
)
from scheduler.effects import Assign, Effect, GiveUp, Issue, Revoke, Tell, Withdraw
from scheduler.requests import Identity

log = get_logger()
CANCEL_KEPT = 86_400.0
"""Seconds a run's last cancellation is kept for workers that find a job only then; no job lives longer."""
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
            case Tell():
                await self._tell(effect)

    async def queued(self) -> set[Identity]:
        """Jobs in the stream, waiting or delivered."""
        return {identity_of(subject) for subject in await self._bus.subjects(f"{PREFIX}.job.>")}

    async def roles(self) -> Assignment:
        """What a former scheduler announced last."""
        entry = await self._state.get("assignment")
        return entry.decode(Assignment) if entry else Assignment(epoch=0, roles={})

    async def _issue(self, effect: Issue) -> None:
        request = effect.request
        job = job_of(effect, time.time())
        try:
            await self._bus.record(job)
        except AlreadyThere:
            log.info("job.already_queued", job=str(request.identity), attempt=effect.attempt)
        else:
            log.info("job.issued", job=str(request.identity), attempt=effect.attempt, priority=effect.priority)

    async def _withdraw(self, effect: Withdraw) -> None:
        """The cancellation stays in the KV for a worker that takes the job before the purge reaches the queue."""
        cancel = Cancel(run=effect.run, iteration=effect.iteration, reason=effect.reason)
        await self._state.put(f"cancel.{effect.run}", cancel, ttl=CANCEL_KEPT)
        await self._bus.emit(cancel)
        purged = await self._bus.purge(f"{PREFIX}.job.*.*.{effect.run}.{effect.iteration}.*")
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
        await self._bus.record(_RESULT[identity.stage](
            run=identity.run, iteration=identity.iteration, candidate=identity.candidate, attempt=request.attempt + 1,
            at=time.time(), worker=self._bus.name, device=None, lease=None, queue_seconds=0.0,
            judgement=Judgement(outcome=Outcome.INFRASTRUCTURE_ERROR, feedback=Feedback(summary=effect.summary)),
        ))
        log.warning("work.given_up", job=str(identity), reason=effect.summary)

    async def _assign(self, effect: Assign) -> None:
        assignment = Assignment(epoch=effect.epoch, roles=effect.roles)
        await self._state.put("assignment", assignment)
        await self._bus.emit(assignment)
        for device, reason in effect.changed.items():
            await self._bus.record(DeviceAssigned(
                device=device, at=time.time(), epoch=effect.epoch, stages=effect.roles[device], reason=reason,
                numbers=effect.numbers,
            ))

    async def _tell(self, effect: Tell) -> None:
        depth = QueueDepth(
            scheduler=self._bus.name, at=time.time(), waiting=effect.waiting, running=effect.running, idle=effect.idle,
            wait_seconds=effect.wait_seconds, room=effect.room, full=effect.full,
        )
        await self._state.put("depth", depth)
        await self._bus.emit(depth)


def job_of(effect: Issue, now: float) -> Job:
    """`now` in Unix seconds."""
    request, proposed, identity = effect.request, effect.request.proposed, effect.request.identity
    return Job(
        stage=identity.stage, priority=effect.priority, run=identity.run, iteration=identity.iteration,
        candidate=identity.candidate, attempt=effect.attempt, issued_at=now, requested_at=request.requested_at,
        deadline=now + effect.seconds, device=proposed.device, task=proposed.task, source=proposed.source,
        bar=effect.bar,
    )


def job_pattern(identity: Identity) -> str:
    return f"{PREFIX}.job.{identity.stage}.*.{identity.run}.{identity.iteration}.{identity.candidate}"


def identity_of(subject: str) -> Identity:
    """From `specgen.v1.job.<stage>.<priority>.<run>.<iteration>.<candidate>`."""
    stage, _, run, iteration, candidate = subject.removeprefix(f"{PREFIX}.job.").split(".")
    return Identity(Stage(stage), run, int(iteration), candidate)
