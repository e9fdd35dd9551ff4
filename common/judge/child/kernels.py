"""Triton's cache in a candidate's own folder: taken along from a process that passed to others of the same source."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_MOST = 6 << 20
"""Bytes that fit a frame; of more nothing is taken along."""
_STAGES = {".source", ".ttir", ".ttgir", ".llir"}
"""What the compiler came through, which nobody launches."""


def place(folder: Path, files: Mapping[str, bytes]) -> None:
    """With the candidate's rights, before its source is imported."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def collect(folder: Path) -> dict[str, bytes]:
    """By name below the folder, as much as can be launched; nothing where that is too large."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in _STAGES]
    if sum(path.stat().st_size for path in found) > _MOST:
        return {}
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
