"""Keeps the pool at its size: grows it when the device idles, shrinks it before a job, pauses copies for a timed one.

`turn` looks once and does what is due; what happened comes back as messages to publish.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from common.logs import get_logger
from common.messages import (
    MemoryReserved,
    Message,
    PoolGrown,
    PoolReleased,
    PoolShrunk,
    ReservationDecided,
    ReservationEnded,
    ReserveMemory,
    TransfersPaused,
    TransfersResumed,
)
from kvstore.budget import Limits, shortfall, surplus
from kvstore.desk import Desk
from kvstore.memory import MemoryFailed, Owner
from kvstore.reserve import Decision, Reservations

log = get_logger()
_TURN_SECONDS = 0.02
"""How long a turn goes on making chunks, of which each may take milliseconds: engines wait 0.1 s for an answer."""


@dataclass(frozen=True)
class Asked:
    request: ReserveMemory
    need: int
    at: float
    held: int
    """Bytes that the pool had then, where everything was asked for."""


class Keeper:
    """Times are passed in; the world is looked at by `memory.free()`, and by `clock` for how long chunks take."""

    def __init__(
        self, desk: Desk, memory: Owner, limits: Limits, reservations: Reservations,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk = desk
        self._memory = memory
        self._limits = limits
        self._reservations = reservations
        self._clock = clock
        self._asked: dict[str, Asked] = {}
        self._revoked_at: dict[int, float] = {}
        self._paused_at: float | None = None
        self._grown = 0

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for an answer, or there is more to do at once."""
        return bool(self._reservations.waiting()) or self._grown > 0

    def reserve(self, request: ReserveMemory, now: float) -> list[Message]:
        """A worker asks. What was granted before is answered again, since the answer may have been lost."""
        need = request.bytes or (0 if request.everything else self._limits.headroom)
        if self._reservations.ask(
            request.id, need=need, everything=request.everything, quiet=request.quiet, now=now, until=request.until
        ):
            held = self._own + self._leaving if request.everything else 0
            self._asked[request.id] = Asked(request, need, now, held)
        elif self._reservations.granted(request.id):
            freed = self._asked[request.id].held
            return [MemoryReserved(device=self._desk.device, id=request.id, granted=True, freed=freed)]
        return []

    def held(self) -> dict[str, str]:
        """Reservations and the leases they stand on."""
        return {id: asked.request.lease for id, asked in self._asked.items()}

    def release(self, id: str, now: float, *, expired: bool = False) -> list[Message]:
        self._asked.pop(id, None)
        released = self._reservations.release(id, now)
        return [ReservationEnded(device=self._desk.device, at=now, id=id, expired=expired)] if released else []

    def turn(self, now: float) -> list[Message]:
        done = self._expire(now)
        done += self._resize(now)
        done += self._share(now)
        done += self._released(now)
        done += self._hush(now)
        return done + self._decide(now)

    # Size

    @property
    def _own(self) -> int:
        return len(self._desk.pool.live()) * self._limits.chunk

    @property
    def _leaving(self) -> int:
        return len(self._desk.pool.leaving()) * self._limits.chunk

    def _resize(self, now: float) -> list[Message]:
        free, own, leaving = self._memory.free(), self._own, self._leaving
        need, everything = self._reservations.need, self._reservations.everything
        if need or everything:
            short = shortfall(self._limits, need=need, free=free, leaving=leaving, own=own, everything=everything)
            most = max(self._reservations.waiting(), key=lambda r: (r.everything, r.need))
            return self._shrink(short, "reserved", now, most.id)
        change = self._surplus(now, free=free, own=own, leaving=leaving)
        if change < 0:
            return self._shrink(-change, "limit" if own > self._limits.most else "pressure", now)
        return self._grow(change, now)

    def _surplus(self, now: float, *, free: int, own: int, leaving: int) -> int:
        return surplus(
            self._limits, free=free, own=own, leaving=leaving, reserved=self._reservations.active,
            idle=now - self._reservations.ended_at,
        )

    def _share(self, now: float) -> list[Message]:
        """A tenant that finds no room gets a chunk for another's: one at a time, and only where it would be made."""
        chunk = self._desk.to_share()
        if chunk is None or self._desk.pool.leaving():
            return []
        size = self._limits.chunk
        if self._surplus(now, free=self._memory.free() + size, own=self._own - size, leaving=0) < 1:
            return []
        return self._shrunk(self._desk.revoke([chunk]), "share", now)

    def _shrink(self, chunks: int, reason: str, now: float, reservation: str = "") -> list[Message]:
        return self._shrunk(self._desk.shrink(chunks) if chunks else [], reason, now, reservation)

    def _shrunk(self, taken: list[int], reason: str, now: float, reservation: str = "") -> list[Message]:
        self._revoked_at |= dict.fromkeys(taken, now)
        if not taken:
            return []
        return [PoolShrunk(
            device=self._desk.device, at=now, chunks=len(taken), bytes=self._own, reason=reason,
            reservation=reservation,
        )]

    def _grow(self, chunks: int, now: float) -> list[Message]:
        """A few chunks a turn; told in the first one that makes none."""
        added = self._add(chunks)
        self._grown += added
        if added or not self._grown:
            return []
        grown, self._grown = self._grown, 0
        return [PoolGrown(
            device=self._desk.device, at=now, chunks=grown, bytes=self._own, free=self._memory.free(),
        )]

    def _add(self, chunks: int) -> int:
        """As many as there is time for, at least one."""
        end, added = self._clock() + _TURN_SECONDS, 0
        while added < chunks and (not added or self._clock() < end):
            try:
                self._desk.grow()
            except MemoryFailed as error:
                log.warning("pool.not_grown", reason=str(error))
                break
            added += 1
        return added

    def _released(self, now: float) -> list[Message]:
        freed = self._desk.release()
        since = [self._revoked_at.pop(chunk, now) for chunk in freed]
        if not freed:
            return []
        return [PoolReleased(device=self._desk.device, at=now, chunks=len(freed), seconds=now - min(since))]

    # Reservations

    def _expire(self, now: float) -> list[Message]:
        late = self._reservations.expire(now)
        for id in late:
            self._asked.pop(id, None)
        return [ReservationEnded(device=self._desk.device, at=now, id=id, expired=True) for id in late]

    def _hush(self, now: float) -> list[Message]:
        """Pause copies while a job that measures time waits or runs."""
        if self._reservations.quiet and not self._desk.paused:
            self._desk.pause()
            self._paused_at = now
        if not self._reservations.quiet and self._desk.paused:
            self._desk.resume()
            self._paused_at = None
            return [TransfersResumed(device=self._desk.device, at=now)]
        if self._desk.paused and self._desk.quiet and self._paused_at is not None:
            seconds, self._paused_at = now - self._paused_at, None
            engines = len(self._desk.workers())
            return [TransfersPaused(device=self._desk.device, at=now, engines=engines, seconds=seconds)]
        return []

    def _decide(self, now: float) -> list[Message]:
        if not self._reservations.waiting():
            return []
        quiet = self._desk.paused and self._desk.quiet
        decisions = self._reservations.decide(
            now, free=self._memory.free(), held=self._own + self._leaving, quiet=quiet,
            blocker=self._desk.blockers(),
        )
        return [message for decision in decisions for message in self._answer(decision, now)]

    def _answer(self, decision: Decision, now: float) -> list[Message]:
        asked = self._asked[decision.id] if decision.granted else self._asked.pop(decision.id)
        request, device = asked.request, self._desk.device
        return [
            MemoryReserved(
                device=device, id=decision.id, granted=decision.granted, reason=decision.reason,
                freed=asked.held if decision.granted else 0,
            ),
            ReservationDecided(
                device=device, at=now, id=decision.id, worker=request.worker, job=request.job, bytes=asked.need,
                everything=request.everything, quiet=request.quiet, granted=decision.granted, reason=decision.reason,
                seconds=now - asked.at,
            ),
        ]
