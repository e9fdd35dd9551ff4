"""The cache of built extensions and precompiled headers: a folder a key, complete or absent, oldest use out first."""
from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = ".new-"
_LEFT_SECONDS = 3600.0
"""A workspace this old was left by a process that was killed."""


class Store:
    """Only the trusted side writes here. Several processes may share one folder."""

    def __init__(self, folder: Path, limit_mib: int) -> None:
        self._folder = folder
        self._limit = limit_mib << 20
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        for left in folder.glob(f"{_TEMPORARY}*"):
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                self.discard(left)

    @property
    def folder(self) -> Path:
        return self._folder

    def find(self, key: str) -> Path | None:
        """The folder of a key, marked as used now."""
        path = self._folder / key
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def workspace(self) -> Path:
        """An empty folder on the same file system, to build in and then `keep` or remove."""
        return Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._folder))

    def keep(self, key: str, workspace: Path) -> Path:
        """Make a finished folder the entry of `key`; where another was faster, its entry stays."""
        path = self._folder / key
        workspace.chmod(0o755)
        try:
            workspace.rename(path)
        except OSError:
            shutil.rmtree(workspace, ignore_errors=True)
        self._trim(path)
        return path

    def discard(self, workspace: Path) -> None:
        shutil.rmtree(workspace, ignore_errors=True)

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Whether making the entry of `key` is this block's alone, among all processes on this folder."""
        with (self._folder / f"{key}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _trim(self, newest: Path) -> None:
        entries = sorted((entry.stat().st_mtime, entry) for entry in self._folder.iterdir() if entry.is_dir())
        sizes = {entry: _size(entry) for _, entry in entries}
        total = sum(sizes.values())
        for _, entry in entries:
            if total <= self._limit:
                return
            if entry != newest and not entry.name.startswith(_TEMPORARY):
                shutil.rmtree(entry, ignore_errors=True)
                total -= sizes[entry]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
