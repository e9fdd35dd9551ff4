"""What surrounds a window on a GPU: the judge's own copies of inputs before it and of outputs after it. Pure.

They are not on the clock that counts: they take several times as long as many kernels and vary by as much. But a kernel
that begins before its process is told to go, or runs on when that says it is done, holds them up, since the contexts on
a device take turns. So they are timed as well, on both sides: the same bytes in the same pair. By what the candidate's
take longer than the reference's, beyond doubt, its own time is longer.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from common.judge.lane.paired import Pair

_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_EFFICIENCY = 1.2533
"""Standard error of a median over that of a mean, for a normal distribution: sqrt(pi / 2)."""
_DOUBT = 3.0
"""Standard errors."""


def excess(around: Sequence[Pair]) -> float:
    """Seconds by which the candidate's windows were surrounded by more; 0 where that may be chance. `around`: seconds
    of each pair, at least one.

    What is chance the reference's alone say, for both sides: by scattering its own a candidate would choose its doubt.
    """
    middle = median(pair.candidate - pair.reference for pair in around)
    usual = median(pair.reference for pair in around)
    deviation = _SIGMA * math.sqrt(2) * median(abs(pair.reference - usual) for pair in around)
    error = _EFFICIENCY * deviation / math.sqrt(len(around))
    return middle if middle > _DOUBT * error else 0.0
