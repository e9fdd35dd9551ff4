"""Device time by campaign, and who is behind its share. Pure.

Weighted fair queueing by virtual time: a campaign's is the device-seconds it was served, over its weight. Jobs under
way count by the stage's mean, so that a burst does not look free until its first result. A campaign that comes back
after having had nothing to do starts where the others stand: what it did not use is not owed to it.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.messages import Stage


@dataclass
class Account:
    weight: float = 1.0
    served: float = 0.0
    """Device-seconds, raised to the others' standing when it comes back: what fairness goes by."""
    used: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(Stage, 0.0))
    """Device-seconds as they were."""
    under_way: dict[Stage, int] = field(default_factory=lambda: dict.fromkeys(Stage, 0))
    open: int = 0
    """Requests that are not done."""


class Shares:
    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    def account(self, campaign: str) -> Account:
        return self.accounts.setdefault(campaign, Account())

    def joined(self, campaign: str, weight: float, seconds: Mapping[Stage, float]) -> None:
        """One more request of this campaign."""
        account = self.account(campaign)
        account.weight = weight
        if account.open == 0:
            account.served = max(account.served, self.floor(seconds) * weight)
        account.open += 1

    def left(self, campaign: str) -> None:
        self.account(campaign).open -= 1

    def issued(self, campaign: str, stage: Stage) -> None:
        self.account(campaign).under_way[stage] += 1

    def returned(self, campaign: str, stage: Stage) -> None:
        self.account(campaign).under_way[stage] -= 1

    def charge(self, campaign: str, stage: Stage, seconds: float) -> None:
        account = self.account(campaign)
        account.served += seconds
        account.used[stage] += seconds

    def floor(self, seconds: Mapping[Stage, float]) -> float:
        """The least virtual time of those that have work."""
        return min((virtual(a, seconds) for a in self.accounts.values() if a.open), default=0.0)

    def lags(self, campaigns: Iterable[str], seconds: Mapping[Stage, float], slack: float) -> dict[str, float]:
        """How far each is ahead of whoever is most behind, in device-seconds over weight, beyond `slack`."""
        floor = self.floor(seconds)
        return {c: max(0.0, virtual(self.accounts[c], seconds) - floor - slack) for c in campaigns}


def virtual(account: Account, seconds: Mapping[Stage, float]) -> float:
    under_way = sum(count * seconds[stage] for stage, count in account.under_way.items())
    return (account.served + under_way) / account.weight
