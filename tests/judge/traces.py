"""What judges leave on a host, to be compared before and after: processes, control groups, mounts, files."""
from __future__ import annotations

import os
from pathlib import Path

import msgspec

from common.judge.sandbox.cgroup import GROUP, bases


class Traces(msgspec.Struct, frozen=True):
    processes: frozenset[str]
    """Judge processes among the descendants of this one: ids and the end of their command lines."""
    groups: frozenset[str]
    """Control groups of judges that this process started."""
    mounts: int
    shared: frozenset[str]
    temporary: frozenset[str]


def traces() -> Traces:
    return Traces(
        processes=frozenset(_processes()), groups=frozenset(_groups()),
        mounts=len(Path("/proc/self/mountinfo").read_text().splitlines()),
        shared=frozenset(name for name in os.listdir("/dev/shm") if name.startswith(("torch", "specgen"))),
        temporary=frozenset(name for name in os.listdir("/tmp") if name.startswith("specgen-candidate-")),
    )


def descendants(pid: int) -> list[int]:
    """Processes below one, the nearest first."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [found for child in children for found in descendants(child)]


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _processes() -> list[str]:
    return [f"{pid} {command(pid)[-60:]}" for pid in descendants(os.getpid()) if "common.judge" in command(pid)]


def _groups() -> list[str]:
    return [str(path) for base in bases() if base for path in base.glob(f"{GROUP}{os.getpid()}-*")]
