from __future__ import annotations

import os
from typing import Literal

import msgspec

MIB = 2**20


def default_sockets() -> str:
    """Short, since a unix socket's path has at most 107 bytes."""
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/specgen-{os.getuid()}", "kv")


class KvstoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["shm", "vmm", "ipc", "nixl"] = "shm"
    """Memory: `shm` is the host's, for engines on the CPU; `vmm` a GPU's, by descriptors; `ipc` a GPU's, by the older
    handles; `nixl` is the host's, for engines of other hosts too."""
    device: str = ""
    """The GPU's UUID; empty: the first one. A pool of kind `shm` is called `cpu` and takes none; one of kind `nixl` is
    called so unless it is given another name."""
    listen: str = ""
    """Kind `nixl`: HOST:PORT where engines of other hosts come in; empty: those of this host alone."""
    token_file: str = ""
    """Holds the token that engines of other hosts have to bring."""
    sockets: str = msgspec.field(default_factory=default_sockets)
    """Folder of the sockets `<device>.sock`; engines are given the same."""
    chunk_mib: int = 64
    """Memory is taken and given back in pieces of this size. Smaller ones return sooner, larger ones map faster."""
    most_mib: int = 0
    """The pool's largest size; 0: a quarter of the host's memory, or all of a GPU's but the headroom."""
    headroom_mib: int = 16_384
    """Left free for candidates when the pool grows, and made free before a job that does not say what it needs."""
    floor_mib: int = 2_048
    """With less than this free, chunks are given up without being asked for."""
    idle_seconds: float = 2.0
    """The pool grows again this long after the last job."""
    patience_seconds: float = 1.0
    """A job whose memory peers do not give back in this time is told to wait or to go elsewhere."""
    poll_seconds: float = 0.25
    """Between looks at the device's free memory."""

    def __post_init__(self) -> None:
        if not 1 <= self.chunk_mib <= 1024:
            raise ValueError("chunk_mib must be between 1 and 1024")
        if min(self.most_mib, self.headroom_mib, self.floor_mib) < 0 or self.poll_seconds <= 0:
            raise ValueError("sizes must not be negative, poll_seconds must be positive")
