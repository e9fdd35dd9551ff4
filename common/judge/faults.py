"""What went wrong with the judge itself; never the candidate's fault."""
from __future__ import annotations

from common.errors import SpecgenError


class JudgeFault(SpecgenError):
    """The attempt failed and says nothing about the candidate. `quarantine`: the device did not answer a probe.
    `short_of_memory`: as in Judgement."""

    def __init__(self, reason: str, *, quarantine: bool = False, short_of_memory: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.quarantine = quarantine
        self.short_of_memory = short_of_memory


class ProcessUnusable(JudgeFault):
    """A fault after which this judge process must not go on: its zygote or its own device context is gone."""
