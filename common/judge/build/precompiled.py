"""Folders with the lean header, and its precompiled form, made in the background once a set of flags has been used.

A precompiled header takes longer to make than one source takes to compile without it, and then saves most of that time
for every further one: so nobody waits for it, and sources compile with the plain lean header until it is there.
"""
from __future__ import annotations

import threading
from pathlib import Path

from common.judge.build import commands, headers
from common.judge.build.run import Compilers
from common.judge.build.store import Store
from common.judge.build.toolchain import Toolchain

_HEADER = "torch/extension.h"


class LeanHeaders:
    def __init__(self, tools: Toolchain, store: Store, compilers: Compilers) -> None:
        self._tools = tools
        self._store = store
        self._compilers = compilers
        self._under_way = threading.Lock()

    def folder(self, cflags: tuple[str, ...]) -> Path | None:
        """What to put before torch's own headers: precompiled where it is; None where the flags are not plain."""
        flags = headers.key_flags(cflags)
        if flags is None:
            return None
        return self._store.find(self._key(flags)) or self.plain()

    def precompile(self, cflags: tuple[str, ...]) -> None:
        """Start making the precompiled header for these flags, one at a time, where nobody has or does."""
        flags = headers.key_flags(cflags)
        if flags is None or self._store.find(self._key(flags)) or not self._under_way.acquire(blocking=False):
            return
        threading.Thread(target=self._precompile, args=(flags,), daemon=True).start()

    def _precompile(self, flags: tuple[str, ...]) -> None:
        try:
            with self._store.claim(self._key(flags)) as ours:
                if ours and not self._store.find(self._key(flags)):
                    self._make(flags)
        finally:
            self._under_way.release()

    def _make(self, flags: tuple[str, ...]) -> None:
        folder = self._written()
        words = commands.precompile(self._tools, flags, _HEADER, f"{_HEADER}.gch")
        if self._compilers.run(words, folder, [], background=True).code:
            self._store.discard(folder)
        else:
            self._store.keep(self._key(flags), folder)

    def plain(self) -> Path:
        """The lean header as text: for nvcc, which takes no precompiled one, and what comes with CUDA's folders."""
        key = headers.key(self._tools.digest, ("plain",))
        return self._store.find(key) or self._store.keep(key, self._written())

    def _written(self) -> Path:
        folder = self._store.workspace()
        header = folder / _HEADER
        header.parent.mkdir()
        header.write_text(headers.LEAN)
        return folder

    def _key(self, flags: tuple[str, ...]) -> str:
        return headers.key(self._tools.digest, flags)
