"""The memory of a pool: how a chunk is made, shown to another process, and mapped there.

`shm` is host memory in anonymous files; `vmm` is device memory by descriptor, which a peer may go on using after the
owner released it; `ipc` is device memory by the older handles, which it may not.
"""
from __future__ import annotations

from kvstore.memory.base import Mapping, MemoryFailed, Owner, Peer

__all__ = ["KINDS", "Mapping", "MemoryFailed", "Owner", "Peer", "make_owner", "make_peer"]

KINDS = ("shm", "vmm", "ipc")


def make_owner(kind: str, device: str) -> Owner:
    """The owner's side on a device (a GPU's UUID; ignored for `shm`). MemoryFailed where it cannot be had."""
    if kind == "shm":
        from kvstore.memory.shm import SharedOwner  # noqa: PLC0415 - what is not used is not loaded

        return SharedOwner()
    from kvstore.memory.cuda import LegacyOwner, VirtualOwner  # noqa: PLC0415

    return VirtualOwner(device) if kind == "vmm" else LegacyOwner(device)


def make_peer(kind: str) -> Peer:
    """The side of a process that maps chunks; for device memory, into its current CUDA context."""
    if kind == "shm":
        from kvstore.memory.shm import SharedPeer  # noqa: PLC0415

        return SharedPeer()
    from kvstore.memory.cuda import LegacyPeer, VirtualPeer  # noqa: PLC0415

    return VirtualPeer() if kind == "vmm" else LegacyPeer()
