"""Why a result is not right, as data."""
from __future__ import annotations

from typing import Any

import msgspec

from common.judge.check.cases import Case
from common.messages.judgement import Difference, Outcome


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one output in one case. The first finding of a candidate decides."""

    outcome: Outcome
    case: Case
    what: str
    """One clause, with numbers."""
    output: int = 0
    ratio: float | None = None
    """Candidate's RMS error over eager's, both against fp64."""
    limit: float | None = None
    share: float | None = None
    """Share of the values that are far off."""
    pattern: str = ""
    """How the wrong values lie, or what they are: `stale`, `tail`, `zeros`, …; empty where nothing stands out."""
    precision: str = ""
    """The lower precision in which the result would be right."""
    differences: tuple[Difference, ...] = ()

    def record(self) -> dict[str, Any]:
        """The evidence for a judgement's record."""
        fields = {"case": self.case.name, "output": self.output, "error_ratio": self.ratio, "limit": self.limit,
                  "share": self.share, "pattern": self.pattern, "precision": self.precision}
        return {name: value for name, value in fields.items() if value not in (None, "")}
