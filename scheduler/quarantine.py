"""When a device is taken out, and when it is tried again. Pure.

A device is out when its worker says that it does not answer, or when different candidates failed on it in a row: one
candidate that fails everywhere says nothing about a device. After a while it is let in for one trial: the next job on
it is the probe. A result clears it, a failure puts it out again, for twice as long.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.settings import SchedulerSettings


@dataclass
class Health:
    out: bool = False
    back_at: float = 0.0
    """When it is let in again."""
    trials: int = 0
    """Times it was put out since it last gave a result."""
    failed: set[tuple[str, str]] = field(default_factory=set)
    """Runs and candidates that failed on it since then."""

    def succeeded(self) -> None:
        self.trials = 0
        self.failed.clear()

    def failure(self, candidate: tuple[str, str], *, hint: bool, settings: SchedulerSettings, now: float) -> bool:
        """Count one; True where the device is put out by it."""
        self.failed.add(candidate)
        if self.out or not (hint or self.trials or len(self.failed) >= settings.quarantine_after):
            return False
        seconds = settings.quarantine_seconds * 2**self.trials
        self.out, self.back_at = True, now + min(seconds, settings.quarantine_most)
        self.trials += 1
        return True

    def let_in(self, now: float) -> bool:
        """True where the time is over; the next job is the trial."""
        if not self.out or now < self.back_at:
            return False
        self.out = False
        self.failed.clear()
        return True
