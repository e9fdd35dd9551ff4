"""What compiling leaves behind: the candidate's source and the extensions it asked for, by their keys in the cache."""
from __future__ import annotations

import hashlib

import msgspec


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """Small enough to travel; the built modules stay in the cache under their keys."""

    source: str
    extensions: dict[str, str] = msgspec.field(default_factory=dict)
    """The extensions its import builds: from what was asked for to the key in the cache."""
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Wall seconds by step: spare, load, compile, and for a GPU foresee."""
    record: dict[str, str] = msgspec.field(default_factory=dict)
    """Compiler and flags, for the evidence."""

    @property
    def digest(self) -> str:
        """SHA-256 of the source, hexadecimal."""
        return hashlib.sha256(self.source.encode()).hexdigest()
