"""What Triton compiled for a source, without a device (`foresee.py`) or in the process that passed, kept for the next
process of the same source: a process compiles for seconds otherwise, and a candidate has one to be validated in and one
to be timed in.

The files are a candidate's and are believed by nobody but a process of the very same source, which could have written
them itself. The judge keeps them as one piece and never looks inside. They tell that process nothing: inputs are drawn
from another secret for each timing.
"""
from __future__ import annotations

import msgspec

from common.judge.build.store import Store

_FILE = "triton.msgpack"
_Files = dict[str, bytes]


class Kernels:
    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, digest: str) -> _Files:
        """Of a source by its digest; nothing where none are kept. Of one that passed, whatever it launched."""
        return self._read(_key(digest, passed=True)) or self._read(_key(digest, passed=False))

    def _read(self, key: str) -> _Files:
        folder = self._store.find(key)
        file = folder / _FILE if folder else None
        return msgspec.msgpack.decode(file.read_bytes(), type=_Files) if file and file.exists() else {}

    def keep(self, digest: str, files: _Files, *, passed: bool) -> None:
        key = _key(digest, passed=passed)
        if not files or self._store.find(key):
            return
        folder = self._store.workspace()
        (folder / _FILE).write_bytes(msgspec.msgpack.encode(files))
        self._store.keep(key, folder)


def _key(digest: str, *, passed: bool) -> str:
    return f"{'triton' if passed else 'foreseen'}-{digest}"
