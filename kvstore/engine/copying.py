"""A job's copies: in pieces, two under way at a time, so that a revocation does not wait long."""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvstore.engine.copier import Bools, Copy, Places
from kvstore.engine.mappings import Mappings, Unavailable
from kvstore.engine.slots import CHUNK, PAGE, TAG, Ints
from kvstore.memory import Mapping as Chunk

log = logging.getLogger("vllm.kvstore")
_AT_ONCE = 2
Start = Callable[[Ints, Places, Any], Copy]
"""`Copier.store` or `Copier.load`."""


@dataclass(frozen=True)
class Piece:
    """What one call of a copier does."""

    pool: str
    blocks: Ints
    handles: Ints
    chunks: list[int]
    """Each once, in the order of `which`."""
    which: Ints
    """Of the chunks, for each handle."""

    def places(self, chunks: Mapping[int, Chunk]) -> Places:
        return Places([chunks[c] for c in self.chunks], self.which, self.handles[:, PAGE], self.handles[:, TAG])


def piece_of(pool: str, blocks: Ints, handles: Ints) -> Piece:
    chunks, which = np.unique(handles[:, CHUNK], return_inverse=True)
    return Piece(pool, blocks, handles, chunks.tolist(), which)


class Copying:
    """A piece under way; its chunks stay mapped until it ends. A copy that breaks costs its blocks, not the engine."""

    def __init__(self, piece: Piece, pool: Mappings, start: Start, mark: Any) -> None:
        self._piece = piece
        self._held = ExitStack()
        self._copy: Copy | None = None
        self._problem = ""
        with self._caught():
            chunks = self._held.enter_context(pool.use(piece.chunks))
            self._copy = start(piece.blocks, piece.places(chunks), mark)

    def ready(self) -> bool:
        """Whether `end` would not wait; so it is where the copy broke, which `end` tells."""
        with self._caught():
            return self._copy is None or self._copy.ready()
        return True

    def wait(self) -> None:
        with self._caught():
            if self._copy is not None:
                self._copy.wait()

    def end(self) -> tuple[Piece, Bools, str]:
        """Waits for it; which of its blocks were copied, and why none was."""
        good = np.zeros(len(self._piece.blocks), dtype=bool)
        with self._held, self._caught():
            if self._copy is not None:
                good = self._copy.result()
        return self._piece, good, self._problem

    @contextmanager
    def _caught(self) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            self._problem = str(error)
        except Exception as error:
            log.exception("KV pool %s: a copy of %d blocks broke", self._piece.pool, len(self._piece.blocks))
            self._problem = repr(error)


class Copies:
    """All pieces of a job. The next one is started while one is copied, and before what ended is reported; but none is
    held while a chunk is waited for. Used by one thread at a time, but for `first`."""

    def __init__(self, pieces: Iterator[Piece], pools: Mapping[str, Mappings], start: Start, mark: Any) -> None:
        self._pieces = pieces
        self._pools = pools
        self._copy = start
        self._mark = mark
        self._under_way = deque[Copying]()
        self._next = next(pieces, None)

    @property
    def over(self) -> bool:
        return self._next is None and not self._under_way

    @property
    def first(self) -> Copying | None:
        """The piece that ends next; another thread may have ended it meanwhile."""
        try:
            return self._under_way[0]
        except IndexError:
            return None

    def begin(self) -> None:
        """Start what can be started without waiting for anything."""
        while (piece := self._next) is not None and len(self._under_way) < _AT_ONCE:
            if not self._pools[piece.pool].has(piece.chunks):
                return
            self._start(piece)

    def ended(self, *, wait: bool) -> Iterator[tuple[Piece, Bools, str]]:
        """Every piece as it ends, with which of its blocks were copied, and why none was; all, or with `wait` false
        those that have ended."""
        self.begin()
        while not self.over and (wait or ((first := self.first) and first.ready())):
            if self._under_way:
                found = self._under_way.popleft().end()
                self.begin()
                yield found
            elif (piece := self._next) is not None:
                self._start(piece)

    def _start(self, piece: Piece) -> None:
        self._next = next(self._pieces, None)
        self._under_way.append(Copying(piece, self._pools[piece.pool], self._copy, self._mark))
