"""Noticing a store that gave up: after a failed write nats-server keeps that stream shut until it is restarted."""
from __future__ import annotations

import os
from pathlib import Path

_GAVE_UP = b"critical write error"


class StoreWatch:
    """Reads the server's log as it grows. `room` bytes must be free before a restart is worth trying."""

    def __init__(self, log_file: Path, room: int) -> None:
        self._log_file = log_file
        self._room = room
        self._position = self._size()
        self.gave_up = False

    def look(self) -> bool:
        """Whether the store gave up at any time since the watch began."""
        size = self._size()
        if size < self._position:
            self._position = 0
        if size > self._position:
            with self._log_file.open("rb") as file:
                file.seek(max(0, self._position - len(_GAVE_UP)))
                self.gave_up = self.gave_up or _GAVE_UP in file.read().lower()
            self._position = size
        return self.gave_up

    def has_room(self) -> bool:
        disk = os.statvfs(self._log_file.parent)
        return disk.f_bavail * disk.f_frsize >= self._room

    def _size(self) -> int:
        return self._log_file.stat().st_size if self._log_file.exists() else 0
