"""A wall clock that jumps: on the PYTHONPATH of a process, `time.time` is off by the seconds in SPECGENTEST_CLOCK."""
import os
import time

_file = os.environ.get("SPECGENTEST_CLOCK", "")
_true = time.time


def _off() -> float:
    try:
        with open(_file) as file:
            return _true() + float(file.read() or 0)
    except (OSError, ValueError):
        return _true()


if _file:
    time.time = _off
