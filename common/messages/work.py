"""Work between scheduler and workers: jobs, results, cancellation, roles."""
from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from common.messages.base import Message
from common.messages.campaign import TaskSource
from common.messages.judgement import Judgement


class Stage(StrEnum):
    VALIDATE = "validate"
    PROFILE = "profile"


class Job(Message, frozen=True, kw_only=True):
    """One attempt at one stage of one candidate, self-contained. Identity is stage, run, iteration and candidate;
    the priority only says in which queue it waits (p0 first)."""

    SUBJECT: ClassVar[str] = "job.{stage}.p{priority}.{run}.{iteration}.{candidate}"

    stage: Stage
    priority: int
    run: str
    iteration: int
    candidate: str
    attempt: int
    issued_at: float
    requested_at: float
    deadline: float
    """Unix seconds after which the scheduler gives the attempt up."""
    device: str
    """Kind of device needed: `cpu` or `cuda`."""
    task: TaskSource
    source: str
    bar: float = 0.0
    """Speedup that a measurement has to exceed to matter to its run: timing one that lies below it all is cut short."""


class Result(Message, frozen=True, kw_only=True):
    """What a worker (or the scheduler, after the last attempt) says of one job."""

    run: str
    iteration: int
    candidate: str
    attempt: int
    at: float
    worker: str
    device: str | None
    lease: int | None
    """Revision under which the device was held; None where no device was needed."""
    queue_seconds: float
    judgement: Judgement


class Verdict(Result, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "res.validate.{run}.{iteration}.{candidate}"


class Profile(Result, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "res.profile.{run}.{iteration}.{candidate}"


class Cancel(Message, frozen=True, kw_only=True):
    """Drop queued and running work of an iteration, or of one candidate."""

    SUBJECT: ClassVar[str] = "ctl.cancel.{run}"

    run: str
    iteration: int
    candidate: str | None = None
    attempt: int | None = None
    """Given with `candidate`: attempts up to this one only."""
    reason: str


class Assignment(Message, frozen=True, kw_only=True):
    """Which stages each device serves now. A device not named serves nothing."""

    SUBJECT: ClassVar[str] = "pool.assignment"

    epoch: int
    roles: dict[str, tuple[Stage, ...]]


class DeadLetter(Message, frozen=True, kw_only=True):
    """A message that nobody could handle, with the reason."""

    SUBJECT: ClassVar[str] = "dead.{source}"

    source: str
    """The service that gave it up."""
    at: float
    subject_was: str
    reason: str
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    data: bytes = b""
