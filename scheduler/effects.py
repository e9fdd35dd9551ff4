"""What the core asks its service to do."""
from __future__ import annotations

from dataclasses import dataclass

from common.messages import Stage
from scheduler.requests import Identity, Request


@dataclass(frozen=True)
class Issue:
    """Publish the job of a request's current attempt; it may take `seconds` from now. `bar`: the speedup that a
    measurement has to exceed to matter."""

    request: Request
    attempt: int
    priority: int
    seconds: float
    bar: float = 0.0


@dataclass(frozen=True)
class Withdraw:
    """Remove queued jobs and cancel running ones of a run up to an iteration."""

    run: str
    iteration: int
    reason: str


@dataclass(frozen=True)
class Revoke:
    """Make results of an attempt stale, and take its job back."""

    identity: Identity
    attempt: int
    reason: str


@dataclass(frozen=True)
class GiveUp:
    """Publish `infrastructure_error`: the request will not be judged, through no fault of the candidate."""

    request: Request
    summary: str


@dataclass(frozen=True)
class Assign:
    """Announce roles; `changed` says why the role of a device is new."""

    epoch: int
    roles: dict[str, tuple[Stage, ...]]
    changed: dict[str, str]
    numbers: dict[str, float]


@dataclass(frozen=True)
class Tell:
    """Announce what waits."""

    waiting: dict[Stage, int]
    running: dict[Stage, int]
    idle: int
    wait_seconds: dict[Stage, float]
    room: int
    full: bool


Effect = Issue | Withdraw | Revoke | GiveUp | Assign | Tell
