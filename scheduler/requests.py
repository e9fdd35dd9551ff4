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


@dataclass
class Request:
    identity: Identity
    proposed: CandidateProposed
    requested_at: float
    arrival: int
    """Counts requests in the order they came."""
    attempt: int = 1
    issued_at: float | None = None
    """When the current attempt was published; None while it waits here."""
    failures: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> bool:
        return self.issued_at is None
