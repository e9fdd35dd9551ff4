from __future__ import annotations

from common.worker.settings import WorkerSettings


class ValidatorSettings(WorkerSettings, frozen=True, kw_only=True):
    """See `WorkerSettings`."""
