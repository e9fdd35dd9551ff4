"""Whether the clocks agree on a candidate's time, and which of them counts. Pure.

With J the judge's median time of a call less the path's, L the least of the same, S the median span that the
candidate's own process reports less that of an empty call, N the spread of the path (its interquartile range), A the
time by which more surrounds the candidate's call than the reference's (`around.py`), U what the reference's honest
process does not see of its own time (J - S there, at least 0) and F the least in which outputs of that size can be
written:

    S < L / 2 - 4 N - U      the process's clock lies: `cheated`
    max(J + A, S) < F        nothing can be that fast: `cheated`
    S > 1.1 (J + A) + 4 N    the slower one counts: the measurement is scaled by J / S
    otherwise                J + A counts: it is scaled by J / (J + A)

On a busy host J holds the time a process waits to be run, which its own clock does not see. L holds none of that as
soon as one window was undisturbed, and where none was U holds it too. Who lies in some windows only gains nothing by
it, since J counts.
The judge's clock is the figure; the process's is evidence. An honest process sees what the judge sees but for the path.
"""
from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles
from typing import NamedTuple

import msgspec

from common.judge.lane.around import excess
from common.judge.lane.blocks import Block
from common.judge.lane.paired import net
from common.messages.judgement import Measurement

_FALSE, _SLOWER, _SPREADS = 0.5, 1.1, 4.0


class Clocks(NamedTuple):
    """Seconds a call."""

    judge: float
    least: float
    process: float
    spread: float
    floor: float
    around: float = 0.0
    unseen: float = 0.0


def read_clocks(candidate: float, blocks: Sequence[Block], floor: float) -> Clocks:
    """What the clocks say of these blocks; `candidate`: seconds, the judge's median without the path."""
    empty = [call.seconds for block in blocks for call in block.reference_path]
    path, quarters = median(empty), quantiles(empty, n=4)
    own_path = median(call.span for block in blocks for call in block.candidate_path)
    reference_path = median(call.span for block in blocks for call in block.reference_path)
    unseen = median(net(b.pair.reference, path) - (b.spans.reference - reference_path) for b in blocks)
    return Clocks(
        judge=candidate,
        least=min(net(block.pair.candidate, path) for block in blocks),
        process=median(block.spans.candidate for block in blocks) - own_path,
        around=excess([block.around for block in blocks]),
        unseen=max(0.0, unseen),
        spread=quarters[2] - quarters[0],
        floor=floor,
    )


def disagreement(clocks: Clocks) -> str:
    """What cannot be, in words; empty where it can."""
    process, floor, judge = clocks.process, clocks.floor, clocks.judge + clocks.around
    if process < _FALSE * clocks.least - _SPREADS * clocks.spread - clocks.unseen:
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
