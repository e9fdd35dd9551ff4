"""Reservations: a worker says what its job needs before the job uses the device. Pure; times are passed in."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Reservation:
    id: str
    need: int
    """Bytes that must be free before the job starts."""
    everything: bool
    """The pool must hold nothing before the job starts."""
    quiet: bool
    """The job measures time: no transfer may touch the device meanwhile."""
    since: float
    until: float
    """A reservation whose worker died ends by itself then."""
    granted: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    id: str
    granted: bool
    reason: str = ""


class Reservations:
    """Of one device, waiting and granted. One that cannot be met within `patience` seconds is denied."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._all: dict[str, Reservation] = {}
        self.ended_at = float("-inf")

    def ask(self, id: str, *, need: int, quiet: bool, now: float, until: float, everything: bool = False) -> bool:
        """Whether it is new; asking again changes nothing, so that a worker may repeat its question."""
        if id in self._all:
            return False
        self._all[id] = Reservation(id, need, everything, quiet, now, until)
        return True

    def release(self, id: str, now: float) -> bool:
        if self._all.pop(id, None) is None:
            return False
        self.ended_at = now
        return True

    def expire(self, now: float) -> list[str]:
        late = [r.id for r in self._all.values() if now >= r.until]
        for id in late:
            self.release(id, now)
        return late

    def decide(self, now: float, *, free: int, held: int, quiet: bool, blocker: str) -> list[Decision]:
        """Grant what is met, deny what waited too long. `held`: bytes that the pool still has; `quiet`: no peer is
        transferring; `blocker` says what holds memory or goes on transferring, for the one that asks."""
        decisions = []
        for reservation in [r for r in self._all.values() if not r.granted]:
            room = free >= reservation.need and not (reservation.everything and held)
            if room and (quiet or not reservation.quiet):
                reservation.granted = True
                decisions.append(Decision(reservation.id, True))
            elif now - reservation.since >= self._patience:
                self.release(reservation.id, now)
                reason = blocker or f"{free} bytes free, {reservation.need} needed"
                decisions.append(Decision(reservation.id, False, reason))
        return decisions

    @property
    def active(self) -> bool:
        return bool(self._all)

    @property
    def need(self) -> int:
        """Bytes that must be free for those that wait: one job at a time has a device."""
        return max((r.need for r in self._all.values() if not r.granted), default=0)

    @property
    def everything(self) -> bool:
        """Whether one that waits wants all that the pool has."""
        return any(r.everything for r in self.waiting())

    @property
    def quiet(self) -> bool:
        return any(r.quiet for r in self._all.values())

    def waiting(self) -> list[Reservation]:
        return [r for r in self._all.values() if not r.granted]

    def granted(self, id: str) -> bool:
        return id in self._all and self._all[id].granted
