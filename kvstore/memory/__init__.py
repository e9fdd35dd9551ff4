"""The memory of a pool: how a chunk is made, shown to another process, and mapped there.

`shm` is host memory in anonymous files; `vmm` is device memory by descriptor, which a peer may go on using after the
owner released it; `ipc` is device memory by the older handles, which it may not. `nixl` is host memory that a peer,
which may be on another host, does not map at all: its copies go through NIXL.
"""
from __future__ import annotations

from kvstore.memory.base import Mapping, MemoryFailed, Owner, Peer

__all__ = ["KINDS", "Mapping", "MemoryFailed", "Owner", "Peer", "context_here", "make_owner", "make_peer"]

KINDS = ("shm", "vmm", "ipc", "nixl")


def make_owner(kind: str, device: str) -> Owner:
    """The owner's side on a device (a GPU's UUID; ignored for host memory). MemoryFailed where it cannot be had."""
    if kind == "shm":
        from kvstore.memory.shm import SharedOwner  # noqa: PLC0415 - what is not used is not loaded

        return SharedOwner()
    if kind == "nixl":
        from kvstore.memory.nixl import RegisteredOwner  # noqa: PLC0415

        return RegisteredOwner()
    from kvstore.memory.cuda import LegacyOwner, VirtualOwner  # noqa: PLC0415

    return VirtualOwner(device) if kind == "vmm" else LegacyOwner(device)


def context_here() -> int | None:
    """The CUDA context that is current in this thread; None where there is none, as on a host without a GPU.

    A context belongs to a thread, so whoever maps from a thread of its own is told the one of the thread that computes.
    """
    from kvstore.memory import driver  # noqa: PLC0415

    try:
        return driver.current_context()
    except MemoryFailed:
        return None


def make_peer(kind: str, context: int | None = None) -> Peer:
    """The side of a process that maps chunks; device memory into the CUDA context given (see `context_here`).

    MemoryFailed where device memory is to be mapped and there is no context; and where there is one and chunks are host
    memory: a kernel that is given such an address breaks the context for everybody in the process.
    """
    if kind == "shm":
        if context is not None:
            raise MemoryFailed("a pool of kind shm is host memory, which an engine on a GPU cannot use: its service "
                               "needs SPECGEN_KVSTORE_KIND=vmm")
        from kvstore.memory.shm import SharedPeer  # noqa: PLC0415

        return SharedPeer()
    if kind == "nixl":
        from kvstore.memory.nixl import RemotePeer  # noqa: PLC0415

        return RemotePeer()
    from kvstore.memory.cuda import LegacyPeer, VirtualPeer  # noqa: PLC0415

    if context is None:
        raise MemoryFailed(f"a pool of kind {kind} needs a CUDA context: initialise the device before the KV tier")
    return VirtualPeer(context) if kind == "vmm" else LegacyPeer(context)
