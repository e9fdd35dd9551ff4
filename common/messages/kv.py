"""The KV tier: what a pool says of itself, and how a worker reserves the memory its job needs."""
from __future__ import annotations

from typing import ClassVar

from common.messages.base import Message


class PoolAnnounced(Message, frozen=True, kw_only=True):
    """A pool as it is now: kept in the table SG_STATE under `kv.<device>`, recorded when its size changes. While the
    lease `kv.<device>` is held the pool is served."""

    SUBJECT: ClassVar[str] = "ops.{device}.pool.announced"

    device: str
    at: float
    host: str
    socket: str
    """Path of the unix socket that hands out descriptors to engines of this host."""
    kind: str
    """Of memory: `shm`, `vmm`, `ipc` or `nixl`."""
    chunk_bytes: int
    epoch: int
    """Grows with every revocation and pause: handles of an older one may be stale."""
    chunks: int
    leaving: int
    """Chunks revoked that a peer has not unmapped yet; they count as used."""
    blocks: int
    geometries: tuple[str, ...] = ()
    """The layouts it holds blocks of, in words."""


class PoolGrown(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "ops.{device}.pool.grown"

    device: str
    at: float
    chunks: int
    """Chunks added."""
    bytes: int
    """What the pool has now."""
    free: int
    """What the device has left now."""


class PoolShrunk(Message, frozen=True, kw_only=True):
    """Chunks were revoked: nothing in them can be found any more. Their memory follows when peers have unmapped it."""

    SUBJECT: ClassVar[str] = "ops.{device}.pool.shrunk"

    device: str
    at: float
    chunks: int
    bytes: int
    """What the pool keeps."""
    reason: str
    """`reserved`, `pressure`, `limit` or `share`."""
    reservation: str = ""


class PoolReleased(Message, frozen=True, kw_only=True):
    """Memory of revoked chunks went back to the device."""

    SUBJECT: ClassVar[str] = "ops.{device}.pool.released"

    device: str
    at: float
    chunks: int
    seconds: float
    """From the revocation to now."""


class ReserveMemory(Message, frozen=True, kw_only=True):
    """A worker that holds the device's lease is about to run a job there. Repeated until it is answered."""

    SUBJECT: ClassVar[str] = "kv.{device}.reserve"

    device: str
    id: str
    """Made anew for each try of a worker."""
    worker: str
    lease: str
    """The lease the worker holds; when nobody holds it any more the reservation is over."""
    job: str
    bytes: int = 0
    """What must be free; 0: what the pool's settings leave to a candidate."""
    everything: bool = False
    """All that the pool has, and `bytes` where they are given: an earlier try was short of memory."""
    quiet: bool = False
    """The job measures time: no copy may touch the device until it is released."""
    until: float
    """Unix seconds; a reservation nobody released ends then."""


class ReleaseMemory(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "kv.{device}.release"

    device: str
    id: str


class MemoryReserved(Message, frozen=True, kw_only=True):
    """The answer: the job may start, or must wait or go elsewhere."""

    SUBJECT: ClassVar[str] = "kv.{device}.reserved"

    device: str
    id: str
    granted: bool
    reason: str = ""
    """Where it was denied: which peer keeps what."""
    freed: int = 0
    """Bytes that the pool held when it was asked for everything. 0: there was nothing to give up, and to try again
    would change nothing."""


class ReservationDecided(Message, frozen=True, kw_only=True):
    """The same, for the record."""

    SUBJECT: ClassVar[str] = "ops.{device}.reservation.decided"

    device: str
    at: float
    id: str
    worker: str
    job: str
    bytes: int
    everything: bool = False
    quiet: bool
    granted: bool
    reason: str = ""
    seconds: float
    """From the question to the answer."""


class ReservationEnded(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "ops.{device}.reservation.ended"

    device: str
    at: float
    id: str
    expired: bool = False
    """Its worker never released it."""


class TaskOutgrew(Message, frozen=True, kw_only=True):
    """A job of this task was short of memory beside the pool: further ones take everything from the start."""

    SUBJECT: ClassVar[str] = "ops.{device}.task.outgrew"

    device: str
    at: float
    worker: str
    task: str
    """Its name."""
    digest: str
    """Of its source, by which other workers know it (SHA-256)."""


class TransfersPaused(Message, frozen=True, kw_only=True):
    """No engine copies from or to the device's pool."""

    SUBJECT: ClassVar[str] = "ops.{device}.transfers.paused"

    device: str
    at: float
    engines: int
    seconds: float
    """From the request to the last acknowledgement."""


class TransfersResumed(Message, frozen=True, kw_only=True):
    SUBJECT: ClassVar[str] = "ops.{device}.transfers.resumed"

    device: str
    at: float
