"""The folder a command writes into."""
from __future__ import annotations

import os
from pathlib import Path

from common.errors import UsageError


def make_folder(path: Path, option: str) -> Path:
    """It is there afterwards. UsageError where nothing can be written into it; `option` is what names another."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write into {path}: {error.strerror}; name another folder with {option}") from None
    if not os.access(path, os.W_OK):
        raise UsageError(f"cannot write into {path}: no right to; name another folder with {option}")
    return path
