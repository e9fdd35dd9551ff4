"""How many calls one timed window holds.

On a GPU a window's path (the gate's opening and the word that it is over, outputs copied to their places, turns of two
contexts) varies by more than many kernels take. So a window holds a series of calls, each on inputs of its own and with
outputs of its own, all of them kept and checked.
"""
from __future__ import annotations

import math

WINDOW_SECONDS = 0.005
SHORTEST = 5e-6
"""A kernel's least time, by its launch alone; what is measured below says nothing."""
MOST = 200
LONGEST_SECONDS = 0.1
"""Of the slower side's window."""
ROOM = 10 << 30
"""Bytes of inputs and outputs of a series, at most, and at most an eighth of the device's free memory."""


def series_length(faster: float, slower: float, bytes_a_call: int, free: int) -> int:
    """Calls that fill a window of the side whose call takes `faster` seconds, as far as their inputs and outputs fit
    and the other's window, of `slower` seconds a call, does not take too long; at least one."""
    wanted = math.ceil(WINDOW_SECONDS / max(faster, SHORTEST))
    fitting = min(ROOM, free // 8) // max(bytes_a_call, 1)
    return max(1, min(wanted, MOST, fitting, int(LONGEST_SECONDS / max(slower, SHORTEST))))
