"""What the core asks its service to do."""
from __future__ import annotations

from dataclasses import dataclass

from common.messages import Stage
from scheduler.requests import Identity, Request


@dataclass(frozen=True)
class Issue:
    """Publish the job of a request's current attempt."""

    request: Request
    priority: int
    deadline: float


@dataclass(frozen=True)
class Withdraw:
    """Remove queued jobs and cancel running ones of an iteration, or of one candidate."""

    run: str
    iteration: int
    reason: str
    candidate: str | None = None


@dataclass(frozen=True)
class Revoke:
    """Make results of an attempt stale, and take its job back."""

    identity: Identity
    attempt: int
    reason: str


@dataclass(frozen=True)
class GiveUp:
    """Publish `infrastructure_error`: the last attempt failed."""

    request: Request
    reason: str


@dataclass(frozen=True)
class Assign:
    """Announce roles; `changed` are the devices whose role is new."""

    epoch: int
    roles: dict[str, tuple[Stage, ...]]
    changed: tuple[str, ...]
    numbers: dict[str, float]


Effect = Issue | Withdraw | Revoke | GiveUp | Assign
