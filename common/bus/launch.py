"""Start a program that ends with its parent: `python launch.py PARENT_PID PROGRAM [ARGUMENT …]`.

Runs as a script of its own, so that the parent needs no code between fork and exec (unsafe where it has threads). The
kernel sends SIGTERM when the *thread* that started this process ends: start it from the main thread.
"""
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit("the parent ended before its child began")
    os.execv(program, sys.argv[2:])


if __name__ == "__main__":
    main()
