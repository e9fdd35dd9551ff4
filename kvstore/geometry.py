"""What one block of KV is in memory: whose it is, how it is laid out, where it stands in a chunk. Pure."""
from __future__ import annotations

from typing import NamedTuple

import msgspec

TRAILER = 16
"""Bytes after a part's payload: its tag and its checksum, 8 bytes each, little-endian."""
ALIGNMENT = 256
"""Parts begin at multiples of this, so that copies are coalesced."""


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """Blocks are shared within a space and never between two."""

    model: str
    """What the weights are: a name, or better a digest."""
    tenant: str = ""
    """Salt of those who may share; runs with different ones never see each other's memory."""


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """The layout of a space's blocks; engines that share must agree on all of it."""

    layout: str
    """Engine version, attention layout and order of layers, in words."""
    dtype: str
    tokens: int
    """Tokens a block."""
    payload: int
    """Bytes of KV one worker holds for a block, over all layers; a multiple of 8."""
    parts: int = 1
    """Workers a block is divided over (tensor parallelism); each has its part of the page."""
    seed: str = ""
    """What the engine's block hashes start from: engines with another seed name equal blocks differently."""

    def __post_init__(self) -> None:
        if self.payload <= 0 or self.payload % 8:
            raise ValueError(f"payload must be a positive multiple of 8 bytes, not {self.payload}")
        if self.parts < 1 or self.tokens < 1:
            raise ValueError("parts and tokens must be at least 1")

    @property
    def part_bytes(self) -> int:
        return -(-(self.payload + TRAILER) // ALIGNMENT) * ALIGNMENT

    @property
    def page_bytes(self) -> int:
        return self.part_bytes * self.parts

    def offset(self, page: int, part: int) -> int:
        """Where a part of a page begins in its chunk, in bytes."""
        return page * self.page_bytes + part * self.part_bytes

    def differences(self, other: Geometry) -> str:
        """What the two disagree on, for a person."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return ", ".join(f"{name} {mine!r} against {theirs!r}" for name, mine, theirs in pairs if mine != theirs)


class Handle(NamedTuple):
    """Permission to read or write one page. The tag is drawn anew for each write, so an old handle fits nothing."""

    chunk: int
    """Never used twice, not even by another instance of the service."""
    page: int
    tag: int
    """Not zero; stands in the page's trailer once it is written."""
