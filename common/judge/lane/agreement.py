"""Whether the clocks agree on a candidate's time, and which of them counts. Pure.

With J the judge's median time of a call less the path's, Q the lower quartile of the same, S the median span that the
candidate's own process reports less that of an empty call, N the spread of the path (its interquartile range), A the
time by which more surrounds the candidate's call than the reference's (`around.py`) and F the least in which outputs of
that size can be written:

    S < Q / 2 - 4 N          the process's clock lies: `cheated`
    max(J + A, S) < F        nothing can be that fast: `cheated`
    S > 1.1 (J + A) + 4 N    the slower one counts: the measurement is scaled by J / S
    otherwise                J + A counts: it is scaled by J / (J + A)

On a busy host J holds the time a process waits to be run, which its own clock does not see; Q holds little of that.
The judge's clock is the figure; the process's is evidence. An honest process sees what the judge sees but for the path.
"""
from __future__ import annotations

from typing import NamedTuple

import msgspec

from common.messages.judgement import Measurement

_FALSE, _SLOWER, _SPREADS = 0.5, 1.1, 4.0


class Clocks(NamedTuple):
    """Seconds a call."""

    judge: float
    quartile: float
    process: float
    spread: float
    floor: float
    around: float = 0.0


def disagreement(clocks: Clocks) -> str:
    """What cannot be, in words; empty where it can."""
    quartile, process, spread, floor = clocks.quartile, clocks.process, clocks.spread, clocks.floor
    judge = clocks.judge + clocks.around
    if process < _FALSE * quartile - _SPREADS * spread:
        return f"its own clock says {1e3 * process:.4g} ms a call, the judge's {1e3 * judge:.4g} ms"
    if max(judge, process) < floor:
        return (
            f"it took {1e3 * max(judge, process):.4g} ms a call, but its outputs alone cannot be written in less than "
            f"{1e3 * floor:.4g} ms"
        )
    return ""


def counted(measurement: Measurement, clocks: Clocks) -> Measurement:
    """The measurement by the slower clock."""
    seconds = clocks.judge + clocks.around
    if clocks.process > _SLOWER * seconds + _SPREADS * clocks.spread:
        seconds = clocks.process
    if seconds == clocks.judge:
        return measurement
    factor = clocks.judge / seconds
    return msgspec.structs.replace(
        measurement, speedup=factor * measurement.speedup, low=factor * measurement.low,
        high=factor * measurement.high, candidate_ms=measurement.candidate_ms / factor,
    )
