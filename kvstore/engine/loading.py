"""One load, which two threads bring to its end: the engine's, which asks for it in every step, and one that waits.

While an engine waits for a load it holds the interpreter's lock most of the time, and a thread that wants it waits for
up to five milliseconds (`sys.getswitchinterval`), after every call that gave it back. So the engine's own thread does
what is due whenever it asks. It might stop asking, as when the request is gone; what is mapped is given back all the
same, since the other thread waits for each copy as well.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import numpy as np

from kvstore.engine.copying import Copies
from kvstore.engine.mappings import Mappings
from kvstore.engine.slots import Ints

log = logging.getLogger("vllm.kvstore")


class Loading:
    """`finish` is called once, with the blocks that were not loaded, by whichever thread ends the last piece."""

    def __init__(
        self, blocks: Ints, copies: Copies, pools: Mapping[str, Mappings], finish: Callable[[list[int]], None]
    ) -> None:
        self._blocks = blocks
        self._copies = copies
        self._pools = pools
        self._finish = finish
        self._lock = threading.Lock()
        self._loaded: list[Ints] = [blocks[:0]]
        self._problems: set[str] = set()
        self.finished = False

    def advance(self) -> None:
        """What can be done without waiting, unless the other thread is at it."""
        if self._lock.acquire(blocking=False):
            try:
                self._go_on(wait=False)
            finally:
                self._lock.release()

    def run(self) -> None:
        """To the end."""
        while not self.finished:
            if (first := self._copies.first) is not None:
                first.wait()
            with self._lock:
                # With nothing under way there is a chunk to be waited for.
                self._go_on(wait=self._copies.first is None)

    def _go_on(self, *, wait: bool) -> None:
        """The pools are told last, since the engine waits for the load and nobody for them; but at once of what is not
        to be found again."""
        right = []
        for piece, good, problem in self._copies.ended(wait=wait):
            wrong = piece.handles[:0] if problem else piece.handles[~good]
            if len(wrong):
                self._pools[piece.pool].read(piece.handles, wrong=wrong)
            else:
                right.append(piece)
            self._loaded.append(piece.blocks[good])
            self._problems.add(problem or ("not what was stored" if len(wrong) else ""))
        if self._copies.over and not self.finished:
            self.finished = True
            self._finish(self._failed())
        for piece in right:
            self._pools[piece.pool].read(piece.handles, wrong=piece.handles[:0])

    def _failed(self) -> list[int]:
        if sum(map(len, self._loaded)) == len(self._blocks):
            return []
        failed: list[int] = np.setdiff1d(self._blocks, np.concatenate(self._loaded)).tolist()
        why = ", ".join(sorted(self._problems - {""})) or "gone from the pool"
        log.warning("KV tier: %d of %d blocks will be computed: %s", len(failed), len(self._blocks), why)
        return failed
