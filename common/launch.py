"""Start a program that ends with its parent: `python launch.py PARENT_PID CORES PROGRAM [ARGUMENT …]`.

CORES is a comma-separated list, or `-` for those of the parent. Runs as a script of its own, so that the parent needs
no code between fork and exec (unsafe where it has threads). The kernel sends SIGTERM when the *thread* that started
this process ends: start it from the main thread.
"""
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def command(cores: tuple[int, ...] | None, program: tuple[str, ...]) -> tuple[str, ...]:
    """The command line that starts `program` (its path first) as a child of this process."""
    where = ",".join(map(str, cores)) if cores else "-"
    return (sys.executable, "-I", "-S", __file__, str(os.getpid()), where, *program)


def main() -> None:
    parent, cores, program = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit("the parent ended before its child began")
    if cores != "-":
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    os.execv(program, sys.argv[3:])


if __name__ == "__main__":
    main()
