from __future__ import annotations

from typing import Literal

import msgspec


class SchedulerSettings(msgspec.Struct, frozen=True, kw_only=True):
    attempts: int = 3
    """Attempts of one stage of one candidate before it ends as infrastructure_error."""
    attempt_seconds: float = 900.0
    """How long an attempt may take, its wait in the queue included, before it is revoked. More than the judge's own
    limits together (a build, then a stage), so that what is slow ends by those, with the outcome they have for it."""
    worker_timeout: float = 6.0
    """A worker silent for so long is gone; it beats every second."""
    tick_seconds: float = 0.5
    """How often deadlines, silent workers and roles are looked at when nothing happens."""
    reconcile_seconds: float = 5.0
    """How often requests without a result are compared with what the job stream holds."""
    lost_after: float = 3.0
    """How long an issued job may be neither queued nor running before it counts as lost."""
    settle_seconds: float = 2.0
    """After a restart, how long workers are listened to before the roles of a former scheduler are changed."""

    pools: Literal["elastic", "published", "static"] = "elastic"
    """How devices are shared between the stages; see `scheduler/pools/`."""
    pool_seconds: float = 0.1
    """Least time between two looks at the roles, and how soon after news they are looked at again."""
    dwell_seconds: float = 1.0
    """A device keeps a role at least so long."""
    hysteresis: float = 0.15
    """Busy devices change their role where the split is wrong by more than this share of them."""
    horizon_seconds: float = 10.0
    """How far ahead the arrivals from generations under way are counted."""

    quarantine_after: int = 3
    """Different candidates whose attempts failed on a device in a row before it is taken out."""
    quarantine_seconds: float = 30.0
    """How long it is out before it is tried again; doubled each time it fails again."""
    quarantine_most: float = 900.0

    ahead_seconds: float = 0.05
    """Jobs are queued ahead of the workers for so long: it hides the way to the scheduler and back from jobs that are
    shorter than that, and leaves the order of longer ones to the last moment."""
    fair_jobs: float = 4.0
    """How many jobs' worth of device time a campaign may be ahead of its share before the others go first."""
    patience_seconds: float = 120.0
    """A request that waited longer is taken out of order, but only every `patience_every`th time."""
    patience_every: int = 8
    waiting_limit: int = 512
    """Requests that may wait; beyond it the oldest speculative ones are dropped."""

    def __post_init__(self) -> None:
        for name in ("attempts", "quarantine_after", "patience_every", "waiting_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("attempt_seconds", "worker_timeout", "tick_seconds", "reconcile_seconds", "horizon_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
