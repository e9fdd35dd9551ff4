"""What each campaign has used and got, from its runs' events. Pure."""
from __future__ import annotations

from collections.abc import Iterable

import msgspec

from common.report.tally import Tally


class CampaignLedger(msgspec.Struct, kw_only=True):
    campaign: str
    weight: float
    """The largest of its runs'."""
    runs: int = 0
    candidates: int = 0
    main_tokens: int = 0
    """Generated: reasoning and answers."""
    fork_tokens: int = 0
    device_seconds: float = 0.0
    best: float | None = None
    """Speedup of its fastest kernel that counts."""


def ledgers(tallies: Iterable[Tally]) -> list[CampaignLedger]:
    """One for each campaign, by name; a run without a campaign is one of its own."""
    found: dict[str, CampaignLedger] = {}
    for tally in tallies:
        name = tally.start.campaign or tally.start.run
        ledger = found.setdefault(name, CampaignLedger(campaign=name, weight=tally.start.weight))
        ledger.weight = max(ledger.weight, tally.start.weight)
        ledger.runs += 1
        ledger.candidates += len(tally.proposed)
        ledger.main_tokens += _generated(tally, "main")
        ledger.fork_tokens += _generated(tally, "fork")
        ledger.device_seconds += tally.device_seconds()[0]
        if best := tally.best():
            ledger.best = max(best["speedup"], ledger.best or 0.0)
    return sorted(found.values(), key=lambda ledger: ledger.campaign)


def _generated(tally: Tally, kind: str) -> int:
    return tally.tokens[kind]["reasoning"] + tally.tokens[kind]["answer"]
