"""By how much two processes of the very same code differ for as long as they live, which no number of pairs between
them shows. Pure.

On an H100 such processes need up to half a microsecond more or less for each launch of theirs, the copies of outputs
too, and a part of the time of what is longer: the standard deviation is taken as that of two independent shares.
Measured by `python -m bench.judge.repeat --device cuda` (`between`), which times eager against itself.
"""
from __future__ import annotations

import math

_SECONDS = 0.3e-6
_SHARE = 0.01


def between(kind: str, seconds: float) -> float:
    """Standard deviation, in seconds, of a call of so many. 0 on a CPU: there it differs too much from host to host."""
    return math.hypot(_SECONDS, _SHARE * seconds) if kind == "cuda" else 0.0
