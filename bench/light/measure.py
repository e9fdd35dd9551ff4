"""What a system did, counted from its events alone."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from common.bus import Bus
from common.messages import (
    PREFIX,
    CandidateProposed,
    CandidateSettled,
    DeviceAssigned,
    Fact,
    IterationEnded,
    LeaseReleased,
    LeaseTaken,
    Message,
    ResultAccepted,
    RunEnded,
    RunStarted,
    Stage,
)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, and shares of the devices' time from the first run's start to the last one's end."""

    seconds: float
    candidates: int
    profiled: int
    busy: float
    useful: float
    feedback_p50: float
    feedback_p99: float
    reallocations: int
    cancelled: tuple[float, ...]
    """From an iteration's end to each device free of its work."""
    overlaps: int
    """Leases of a device that began before the one before it was over: none, or exclusiveness is broken."""
    campaigns: dict[str, float]
    """Device-seconds."""


async def stored(bus: Bus) -> list[Message]:
    """Every fact of runs and devices, as stored."""
    found = [d.message for part in ("evt", "ops") for d in await bus.history(f"{PREFIX}.{part}.>")]
    return [message for message in found if message is not None]


def measure(messages: Iterable[Message], devices: Sequence[str]) -> Measured:
    """Of a system whose devices were these."""
    messages = list(messages)
    facts = [m for m in messages if isinstance(m, Fact)]
    start = min(f.at for f in facts if isinstance(f, RunStarted))
    ends = [f.at for f in facts if isinstance(f, RunEnded)]
    seconds = (max(ends) if len(ends) == sum(isinstance(f, RunStarted) for f in facts) else facts_end(facts)) - start
    held = holds(messages)
    accepted = {(f.run, f.candidate, f.stage) for f in facts if isinstance(f, ResultAccepted)}
    useful = sum(r.seconds for t, r in held if r.reason == "done" and (t.run, t.candidate, t.stage) in accepted)
    proposed = {(f.run, f.candidate): f.at for f in facts if isinstance(f, CandidateProposed)}
    waits = sorted(f.at - proposed[f.run, f.candidate] for f in facts
                   if isinstance(f, CandidateSettled) and f.fate == "counted")
    campaign = {f.run: f.campaign or f.run for f in facts if isinstance(f, RunStarted)}
    used: defaultdict[str, float] = defaultdict(float)
    for t, r in held:
        used[campaign.get(t.run, t.run)] += r.seconds
    return Measured(
        seconds=seconds, candidates=len(proposed), profiled=sum(stage is Stage.PROFILE for _, _, stage in accepted),
        busy=sum(r.seconds for _, r in held) / (seconds * len(devices)), useful=useful / (seconds * len(devices)),
        feedback_p50=rank(waits, 0.5), feedback_p99=rank(waits, 0.99), reallocations=_changes(messages),
        cancelled=tuple(_cancelled(facts, held)), overlaps=overlaps(held), campaigns=dict(used),
    )


def holds(messages: Sequence[Message]) -> list[tuple[LeaseTaken, LeaseReleased]]:
    """Each lease that was released, from its taking, in the order of their ends."""
    taken = {(m.device, m.lease): m for m in messages if isinstance(m, LeaseTaken)}
    return [(taken[m.device, m.lease], m) for m in messages
            if isinstance(m, LeaseReleased) and (m.device, m.lease) in taken]


def facts_end(facts: Sequence[Fact]) -> float:
    """Where not every run has ended: the last thing that is known."""
    return max(f.at for f in facts)


def rank(ranked: Sequence[float], share: float) -> float:
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def overlaps(held: Sequence[tuple[LeaseTaken, LeaseReleased]]) -> int:
    """By the lease's revision, which the server counts up: a later lease must have been taken after the release."""
    by_device: defaultdict[str, list[tuple[LeaseTaken, LeaseReleased]]] = defaultdict(list)
    for hold in sorted(held, key=lambda hold: hold[0].lease):
        by_device[hold[0].device].append(hold)
    return sum(after[0].at < before[1].at
               for holds in by_device.values() for before, after in pairwise(holds))


def _changes(messages: Iterable[Message]) -> int:
    assigned = [m.device for m in messages if isinstance(m, DeviceAssigned)]
    return len(assigned) - len(set(assigned))


def _cancelled(facts: Iterable[Fact], held: Sequence[tuple[LeaseTaken, LeaseReleased]]) -> list[float]:
    ended = {(f.run, f.iteration): f.at for f in facts if isinstance(f, IterationEnded)}
    return sorted(r.at - ended[t.run, t.iteration] for t, r in held
                  if r.reason == "cancelled" and (t.run, t.iteration) in ended)
