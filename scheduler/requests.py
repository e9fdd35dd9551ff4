"""One stage of one candidate, from the request to its result."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from common.messages import CandidateProposed, Stage


class Identity(NamedTuple):
    """What names a piece of work, whatever its priority or attempt."""

    stage: Stage
    run: str
    iteration: int
    candidate: str

    def __str__(self) -> str:
        return f"{self.stage}.{self.run}.{self.iteration}.{self.candidate}"


@dataclass(eq=False)
class Request:
    """Times are monotonic seconds of this process, but for `requested_at`."""

    identity: Identity
    proposed: CandidateProposed
    campaign: str
    requested_at: float
    """When it was asked for, Unix seconds: for the record, nothing is decided by it."""
    arrival: int
    """Counts requests in the order they came."""
    arrived_at: float
    attempt: int
    issued_at: float | None = None
    """When the current attempt was published; None while it waits here."""
    on_device: bool = False
    failures: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> bool:
        return self.issued_at is None

    @property
    def urgent(self) -> bool:
        """Main answers, and what was tried before and has waited long enough."""
        return self.attempt > 1 or self.proposed.origin == "main"
