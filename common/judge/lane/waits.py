"""How long a side stood ready to run while others than the judge had its cores, as Linux counts it
(`/proc/PID/schedstat`: time on a core, time waiting for one, in nanoseconds).

Only the reference is asked: it is ours and runs one thread a core, so what it waits for beyond the judge and its own
warden is somebody else's load. A candidate could make its own slow calls look disturbed, to have them left out.
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
TOLERATED = 0.02
"""Share of a timed window that may have been spent waiting; above, the pair is timed again."""
GRACE_SECONDS = 100e-6
"""What is tolerated in any window: switches between warden, side and judge."""


class Waits:
    """What the threads of the processes below a warden have waited for others, since the last question."""

    def __init__(self, warden: int, *, beside: bool = True, proc: Path = PROC) -> None:
        """`beside`: whether the judge takes the side's cores while that is ready to run. Not on a GPU where there are
        several: there the side waits for the device on one while the judge copies, and the judge watches from another
        while the side runs."""
        self._warden = warden
        self._beside = beside
        self._proc = proc
        self._last = self._now()

    def since(self) -> float:
        """Seconds, from the thread that is the judge; 0.0 where the kernel does not count."""
        before, self._last = self._last, self._now()
        return max(0.0, self._last - before)

    def _now(self) -> float:
        threads = [task for child in _below(self._warden, self._proc) for task in _tasks(self._proc / str(child))]
        waited = sum(_schedstat(thread)[1] for thread in threads)
        own = time.thread_time() if self._beside else 0.0
        return 1e-9 * (waited - _schedstat(self._proc / str(self._warden))[0]) - own


def disturbed(waited: float, seconds: float) -> bool:
    """Whether a window of so many seconds held too much waiting."""
    return waited > TOLERATED * seconds + GRACE_SECONDS


def _below(pid: int, proc: Path) -> Iterator[int]:
    try:
        children = [int(word) for word in (proc / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield child
        yield from _below(child, proc)


def _tasks(process: Path) -> list[Path]:
    try:
        return list((process / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _schedstat(task: Path) -> tuple[int, int]:
    """Nanoseconds on a core and waiting for one."""
    try:
        ran, waited, _ = (task / "schedstat").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return int(ran), int(waited)
