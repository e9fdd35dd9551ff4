"""Keeping to some cores: those that time kernels, or all others."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import UsageError


@contextmanager
def pinned(cores: tuple[int, ...]) -> Iterator[None]:
    """This thread on `cores` for the block, as is whatever it starts: a child inherits its cores, and may leave them
    (a timing slot's does)."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise UsageError(f"devices: cannot use the cores {', '.join(map(str, cores))}: {error.strerror}") from None
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
