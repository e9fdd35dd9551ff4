from __future__ import annotations

import msgspec


class SchedulerSettings(msgspec.Struct, frozen=True, kw_only=True):
    attempts: int = 3
    """Attempts of one stage of one candidate before it ends as infrastructure_error."""
    attempt_seconds: float = 180.0
    """How long an attempt may take, its wait in the queue included, before it is revoked."""
    worker_timeout: float = 6.0
    """A worker silent for so long is gone; it beats every second."""
    tick_seconds: float = 0.5
    """How often deadlines and roles are looked at."""
    reconcile_seconds: float = 5.0
    """How often requests without a result are compared with what the job stream holds."""
    lost_after: float = 3.0
    """How long an issued job may be neither queued nor running before it counts as lost."""
