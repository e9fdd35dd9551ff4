"""Setting the wall clock of other processes."""
from __future__ import annotations

from pathlib import Path

HOUR = 3600.0


class Clock:
    """Processes started with `env` read a wall clock that is `set` seconds off."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0.0)
        here = Path(__file__).parent
        self.env = {"PYTHONPATH": f"{here / 'clock'}:{here.parents[1]}", "SPECGENTEST_CLOCK": str(self._file)}

    def set(self, seconds: float) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)
