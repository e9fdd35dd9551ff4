"""Handles as they travel: 24 bytes each, one after the other, so that an engine reads thousands as one table.

Three little-endian numbers of 8 bytes a handle, chunk, page and tag; zeros where there is none.
"""
from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import chain

from kvstore.geometry import Handle

_ROW = struct.Struct("<3q")
_NONE = (0, 0, 0)


def pack(handles: Sequence[Handle | None]) -> bytes:
    return struct.pack(f"<{3 * len(handles)}q", *chain.from_iterable(handle or _NONE for handle in handles))


def unpack(data: bytes) -> list[Handle | None]:
    """ValueError where it is not a number of handles."""
    return [handle if handle.tag else None for handle in _all(data)]


def present(data: bytes) -> list[Handle]:
    """Those that are there. ValueError as above."""
    return [handle for handle in _all(data) if handle.tag]


def _all(data: bytes) -> Iterator[Handle]:
    if len(data) % _ROW.size:
        raise ValueError(f"{len(data)} bytes are no number of handles")
    return map(Handle._make, _ROW.iter_unpack(data))
