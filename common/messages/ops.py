"""Device facts: heartbeats, leases, attempts, roles; written by workers and the scheduler, not part of a run's log."""
from __future__ import annotations

from typing import ClassVar

import msgspec

from common.messages.base import Message
from common.messages.work import Stage


class WorkerBeat(Message, frozen=True, kw_only=True):
    """A worker is alive. Published every second and at once when it takes or ends a job."""

    SUBJECT: ClassVar[str] = "ops.{worker}.worker.beat"

    worker: str
    at: float
    stage: Stage
    devices: dict[str, tuple[Stage, ...]]
    """Devices it can lease (`cpu-0`, a GPU's UUID), each with the stages that device can serve at all."""
    slots: int
    """Jobs it takes at once."""
    jobs: tuple[str, ...] = ()
    """Identities `<stage>.<run>.<iteration>.<candidate>` under way."""


class WorkerLeft(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "ops.{worker}.worker.left"

    worker: str
    at: float
    stage: Stage
    reason: str


class AttemptStarted(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "ops.{worker}.attempt.started"

    worker: str
    at: float
    stage: Stage
    run: str
    iteration: int
    candidate: str
    attempt: int
    delivery: int
    """1 the first time this attempt's message is delivered; more after a worker died with it."""


class AttemptFailed(Message, frozen=True, kw_only=True):
    """The attempt ended without a result through no fault of the candidate; the scheduler decides what follows."""

    SUBJECT: ClassVar[str] = "ops.{worker}.attempt.failed"

    worker: str
    at: float
    stage: Stage
    run: str
    iteration: int
    candidate: str
    attempt: int
    reason: str
    device: str | None = None
    """The device it ran on, where it had got so far."""
    quarantine: bool = False
    """The device did not answer: it should serve nothing until it does."""


class AttemptRevoked(Message, frozen=True, kw_only=True):
    """Results of this attempt are stale from now on."""

    SUBJECT: ClassVar[str] = "ops.{worker}.attempt.revoked"

    worker: str
    """The scheduler's own name."""
    at: float
    stage: Stage
    run: str
    iteration: int
    candidate: str
    attempt: int
    reason: str


class LeaseTaken(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "ops.{device}.lease.taken"

    device: str
    worker: str
    at: float
    stage: Stage
    lease: int
    run: str
    iteration: int
    candidate: str


class LeaseReleased(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "ops.{device}.lease.released"

    device: str
    worker: str
    at: float
    stage: Stage
    lease: int
    seconds: float
    reason: str = "done"
    """`done`, `failed`, `lost` or `cancelled`."""


class DeviceAssigned(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "ops.{device}.role.assigned"

    device: str
    at: float
    epoch: int
    stages: tuple[Stage, ...]
    reason: str
    numbers: dict[str, float] = msgspec.field(default_factory=dict)


class QueueDepth(Message, frozen=True, kw_only=True):
    """What waits and what serves it: what a fork policy needs to know of the load. Published when it changes, at most
    a few times a second, and kept in the table SG_STATE under `depth`."""

    SUBJECT: ClassVar[str] = "ops.{scheduler}.queue.depth"

    scheduler: str
    at: float
    waiting: dict[Stage, int]
    """Requests no worker has taken yet."""
    running: dict[Stage, int]
    """Devices at work."""
    idle: int
    """Devices that serve some stage and hold no job."""
    wait_seconds: dict[Stage, float]
    """How long a request that comes now waits for a device, were it the last in line."""
    room: int
    """Candidates that may still come before the oldest speculative one is dropped."""
    full: bool = False
    """The bus takes no more work (a full stream or disk): only main answers are tried."""
