"""`python -m common.supervise.launch PARENT_PID CORES COMMAND…`: becomes COMMAND, on CORES, dying with its parent.

The kernel sends SIGTERM to this process when the thread that started it ends (PR_SET_PDEATHSIG, kept over exec); a
parent that died before that was set up is noticed by its pid.
"""
from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, cores, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        raise SystemExit("the process that started this one is gone")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
