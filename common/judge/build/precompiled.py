"""Folders with the lean headers, and a precompiled form, made in the background once a set of flags has been used.

A precompiled header takes longer to make than one source takes to compile without it, and then saves most of that time
for every further one: so nobody waits for it, and sources compile with the plain lean header until it is there.
"""
from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from common.judge.build import commands, headers
from common.judge.build.narrow import NARROW
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

    def folder(self, cflags: tuple[str, ...], *, cuda: bool) -> Path | None:
        """What to put before torch's own headers for C++: precompiled where it is; None where the flags are not plain.
        `cuda`: the extension has CUDA's headers too."""
        flags = headers.key_flags(cflags)
        if flags is None:
            return None
        return self._store.find(self._key(flags, cuda)) or self.plain()

    def precompile(self, cflags: tuple[str, ...], *, cuda: bool) -> None:
        """Start making the precompiled header for these flags, one at a time, where nobody has or does."""
        flags = headers.key_flags(cflags)
        if flags is None or self._store.find(self._key(flags, cuda)) or not self._under_way.acquire(blocking=False):
            return
        threading.Thread(target=self._precompile, args=(flags, cuda), daemon=True).start()

    def plain(self) -> Path:
        """The lean header as text, for nvcc as well."""
        return self._kept("plain", {_HEADER: headers.LEAN})

    def narrow(self) -> Path:
        """What a CUDA source needs that calls kernels and nothing else, and C++ that binds them."""
        return self._kept("narrow", NARROW)

    def _precompile(self, flags: tuple[str, ...], cuda: bool) -> None:
        try:
            with self._store.claim(self._key(flags, cuda)) as ours:
                if ours and not self._store.find(self._key(flags, cuda)):
                    self._make(flags, cuda)
        finally:
            self._under_way.release()

    def _make(self, flags: tuple[str, ...], cuda: bool) -> None:
        folder = self._written({_HEADER: headers.LEAN})
        words = commands.precompile(self._tools, flags, _HEADER, f"{_HEADER}.gch", cuda=cuda)
        if self._compilers.run(words, folder, [], background=True).code:
            self._store.discard(folder)
        else:
            self._store.keep(self._key(flags, cuda), folder)

    def _kept(self, name: str, files: Mapping[str, str]) -> Path:
        key = headers.key(self._tools.digest, (name,))
        return self._store.find(key) or self._store.keep(key, self._written(files))

    def _written(self, files: Mapping[str, str]) -> Path:
        folder = self._store.workspace()
        headers.write(folder, files)
        return folder

    def _key(self, flags: tuple[str, ...], cuda: bool) -> str:
        return headers.key(self._tools.digest, ("cuda", *flags) if cuda else flags)
