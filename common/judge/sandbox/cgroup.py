"""Control groups that hold a candidate's processes together to a memory and a process limit, where we may make them."""
from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MIB = 1 << 20
GROUP = "specgen-"
"""First part of a group's name; then come the process ids of the service and of the judge process it belongs to."""


class Group:
    """One candidate's group: a folder a controller (version 1) or one for both (version 2)."""

    def __init__(self, name: str, memory_mib: int, processes: int) -> None:
        self._memory, self._pids = (None if base is None else base / name for base in bases())
        for folder in self._folders():
            folder.mkdir(exist_ok=True)
        if self._memory:
            self._write_memory(self._memory, memory_mib * _MIB)
        if self._pids:
            (self._pids / "pids.max").write_text(str(processes))

    @property
    def holds_memory(self) -> bool:
        return self._memory is not None

    def add(self, pid: int) -> None:
        for folder in self._folders():
            (folder / "cgroup.procs").write_text(str(pid))

    def killed_for_memory(self) -> bool:
        """Whether the kernel ended a process of the group for the group's memory limit."""
        if self._memory is None:
            return False
        for name in ("memory.events", "memory.oom_control"):
            path = self._memory / name
            if path.exists():
                return any(line.split()[0] == "oom_kill" and line.split()[1] != "0" for line in _lines(path))
        return False

    def remove(self) -> None:
        """After its processes are gone. A group that stays busy for a second is left, empty of limits on others."""
        for folder in self._folders():
            for _ in range(100):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                else:
                    break

    def _folders(self) -> list[Path]:
        return list(dict.fromkeys(folder for folder in (self._memory, self._pids) if folder))

    @staticmethod
    def _write_memory(folder: Path, limit: int) -> None:
        if (folder / "memory.max").exists():
            (folder / "memory.max").write_text(str(limit))
            if (folder / "memory.swap.max").exists():
                (folder / "memory.swap.max").write_text("0")
        else:
            (folder / "memory.limit_in_bytes").write_text(str(limit))


def sweep() -> None:
    """Remove the groups of judge processes that were killed. A group in use cannot be removed and stays."""
    for base in {base for base in bases() if base}:
        for folder in base.glob(f"{GROUP}*"):
            owner = folder.name.removeprefix(GROUP).split("-")[1:2]
            if owner and owner[0].isdigit() and not Path(f"/proc/{owner[0]}").exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def bases() -> tuple[Path | None, Path | None]:
    """Folders in which groups with a memory limit and with a process limit can be made; None where they cannot."""
    rows = [line.split(":", 2) for line in _lines(Path("/proc/self/cgroup"))]
    own = {controllers: path for _, controllers, path in rows}
    return _base(own, "memory", ("memory.max", "memory.limit_in_bytes")), _base(own, "pids", ("pids.max",))


def _base(own: dict[str, str], controller: str, files: tuple[str, ...]) -> Path | None:
    """Version 1: below our own group. Version 2: beside it, since a group with processes may limit no children."""
    first = _ROOT / controller / own.get(controller, "/").lstrip("/")
    second = (_ROOT / own.get("", "/").lstrip("/")).parent
    for folder in (first, second) if controller in own else (second,):
        if _works(folder, files):
            return folder
    return None


def _works(folder: Path, files: tuple[str, ...]) -> bool:
    if not folder.is_relative_to(_ROOT) or not folder.is_dir() or not os.access(folder, os.W_OK):
        return False
    trial = folder / f"specgen-trial-{os.getpid()}-{time.monotonic_ns()}"
    try:
        trial.mkdir()
    except OSError:
        return False
    usable = any(os.access(trial / name, os.W_OK) for name in files)
    trial.rmdir()
    return usable


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.strip()]
