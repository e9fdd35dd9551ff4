"""A folder that is written into."""
from __future__ import annotations

import os
from pathlib import Path

from common.errors import UsageError


def make_folder(path: Path, remedy: str, *, role: str = "", mode: int = 0o777) -> Path:
    """It is there afterwards. UsageError where nothing can be written into it: `remedy` says what to do, `role` what
    the folder is."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        why = error.strerror
    else:
        why = None if os.access(path, os.W_OK) else "no right to"
    if why:
        raise UsageError(f"cannot write into {role}{path}: {why}; {remedy}")
    return path
