"""Wiring: memory, pool, socket, bus, and the loop that keeps the pool at its size."""
from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.background import background, first
from common.bus import LEASES, STATE, Bus, LeaseHeld
from common.devices import DeviceSettings, discover
from common.errors import UsageError
from common.logs import get_logger
from common.messages import (
    Message,
    PoolAnnounced,
    ReleaseMemory,
    ReservationDecided,
    ReserveMemory,
    pattern,
)
from common.settings import load
from kvstore.address import Address, BadAddress, parse
from kvstore.budget import Limits
from kvstore.desk import Desk
from kvstore.keeper import Keeper
from kvstore.memory import Owner, make_owner
from kvstore.pool import Pool
from kvstore.reserve import Reservations
from kvstore.server import Server
from kvstore.settings import MIB, KvstoreSettings

log = get_logger()
HOST_DEVICE = "cpu"
"""What a pool of host memory is called."""
HOST_KINDS = ("shm", "nixl")
_URGENT_SECONDS = 0.01
_LEASE_SECONDS = 1.0
_END_SECONDS = 1.0
"""How long peers are given to unmap when the service ends."""


async def serve(bus: Bus, stop: asyncio.Event) -> None:
    settings = load("kvstore", KvstoreSettings)
    device = device_of(settings)
    path = Path(settings.sockets) / f"{device}.sock"
    allow_descriptors()
    with only_one(path):
        service = Service(bus, settings, device, path)
        async with Server(path, service.desk, *door(settings)), background() as tasks:
            for kind in (ReserveMemory, ReleaseMemory):
                tasks.start(service.listen(kind))
            tasks.start(service.hold_lease())
            tasks.start(service.follow_leases())
            tasks.start(service.send())
            await service.keep(stop)
            await service.give_back()


class Service:
    """One device's pool on the bus."""

    def __init__(self, bus: Bus, settings: KvstoreSettings, device: str, path: Path) -> None:
        memory = make_owner(settings.kind, device)
        self._bus = bus
        self._poll = settings.poll_seconds
        self._path = path
        self._kind = settings.kind
        self._wake = asyncio.Event()
        limits = limits_of(settings, memory)
        self._pool = Pool(limits.chunk, first=time.time_ns(), tag=lambda: secrets.randbits(63) | 1)
        self.desk = Desk(device, self._pool, memory, self._wake.set)
        self._keeper = Keeper(self.desk, memory, limits, Reservations(settings.patience_seconds))
        self._announced: PoolAnnounced | None = None
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()

    async def keep(self, stop: asyncio.Event) -> None:
        """Turn by turn until `stop`: at once when a peer or a worker said something, else every `poll_seconds`."""
        while not stop.is_set():
            self._wake.clear()
            self._publish(self._keeper.turn(time.time()))
            self._announce()
            await first(self._wake, stop, timeout=_URGENT_SECONDS if self._keeper.urgent else self._poll)

    async def listen(self, kind: type[ReserveMemory] | type[ReleaseMemory]) -> None:
        """What workers ask of this device."""
        async with self._bus.listen(pattern(kind, device=self.desk.device)) as deliveries:
            async for delivery in deliveries:
                message = delivery.message
                if isinstance(message, ReserveMemory):
                    self._publish(self._keeper.reserve(message, time.time()))
                elif isinstance(message, ReleaseMemory):
                    self._publish(self._keeper.release(message.id, time.time()))
                self._wake.set()

    async def hold_lease(self) -> None:
        """The lease `kv.<device>` says that the pool is served; a former instance's runs out by itself."""
        while True:
            try:
                async with self._bus.lease(f"kv.{self.desk.device}", self._bus.name) as lease:
                    await lease.lost.wait()
            except LeaseHeld as error:
                log.info("pool.lease_held", reason=str(error))
            await asyncio.sleep(self._poll)

    async def follow_leases(self) -> None:
        """End the reservations of workers that no longer hold their device: they died."""
        table = self._bus.table(LEASES)
        while True:
            await asyncio.sleep(_LEASE_SECONDS)
            for id, lease in self._keeper.held().items():
                if await table.get(lease) is None:
                    self._publish(self._keeper.release(id, time.time(), expired=True))
                    self._wake.set()

    async def give_back(self) -> None:
        """Ask peers to unmap everything, wait a little, and release the memory."""
        self.desk.shrink(len(self._pool.live()))
        end = time.monotonic() + _END_SECONDS
        while self.desk.release() or (self._pool.leaving() and time.monotonic() < end):
            self._wake.clear()
            await first(self._wake, timeout=0.05)
        self.desk.end()

    async def send(self) -> None:
        """Publish what happened, in order; memory is managed on while the server is away."""
        while True:
            message = await self._outbox.get()
            if isinstance(message, PoolAnnounced):
                await self._bus.table(STATE).put(f"kv.{message.device}", message)
            if message.SUBJECT.startswith("ops."):
                await self._bus.record(message)
            else:
                await self._bus.emit(message)

    def _publish(self, messages: list[Message]) -> None:
        for message in messages:
            self._outbox.put_nowait(message)
            if message.SUBJECT.startswith("ops."):
                _log(message)

    def _announce(self) -> None:
        """Keep the table current. What changes with each block is not worth a message of its own."""
        now, pool = time.time(), self._pool
        announced = PoolAnnounced(
            device=self.desk.device, at=now, host=socket.gethostname(), socket=str(self._path), kind=self._kind,
            chunk_bytes=pool.chunk_bytes, epoch=pool.epoch, chunks=len(pool.live()), leaving=len(pool.leaving()),
            blocks=pool.blocks(), geometries=tuple(
                f"{space.model}: {directory.geometry.layout}, {directory.geometry.tokens} tokens a block"
                for space, directory in pool.directories().items()
            ),
        )
        before, self._announced = self._announced, announced
        if before is None or _size(before) != _size(announced):
            self._outbox.put_nowait(announced)


def door(settings: KvstoreSettings) -> tuple[Address | None, str]:
    """Where engines of other hosts come in, and the token they bring. UsageError where that cannot be."""
    if not settings.listen:
        return None, ""
    if settings.kind != "nixl":
        raise UsageError(f"a pool of kind {settings.kind} cannot be used from other hosts: SPECGEN_KVSTORE_KIND=nixl")
    try:
        return parse(settings.listen), Path(settings.token_file or "/dev/null").read_text().strip()
    except (BadAddress, OSError) as error:
        raise UsageError(f"SPECGEN_KVSTORE_LISTEN, SPECGEN_KVSTORE_TOKEN_FILE: {error}") from None


def device_of(settings: KvstoreSettings) -> str:
    """UsageError where a GPU is named that is not there, or for memory that is not a GPU's."""
    if settings.kind == "shm" and settings.device:
        raise UsageError(
            f"a pool of kind shm is host memory and has no device {settings.device}: SPECGEN_KVSTORE_KIND=vmm for a GPU"
        )
    if settings.kind in HOST_KINDS:
        return settings.device or HOST_DEVICE
    found = [device.id for device in discover(DeviceSettings(kind="cuda"))]
    if settings.device and settings.device not in found:
        raise UsageError(f"no GPU {settings.device} for the KV pool: SPECGEN_KVSTORE_DEVICE names one of {found}")
    return settings.device or found[0]


def limits_of(settings: KvstoreSettings, memory: Owner) -> Limits:
    default = memory.total() // 4 if settings.kind in HOST_KINDS else memory.total()
    return Limits(
        chunk=memory.round_up(settings.chunk_mib * MIB),
        most=settings.most_mib * MIB or default,
        headroom=settings.headroom_mib * MIB,
        floor=settings.floor_mib * MIB,
        idle=settings.idle_seconds,
    )


def allow_descriptors() -> None:
    """A chunk of shared memory takes one each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """A lock beside the socket; UsageError where another service has it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"cannot write {path.parent}: {error.strerror}; name another folder with SPECGEN_KVSTORE_SOCKETS"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(f"another service has the pool of {path.stem} on this host: stop it first") from None
    finally:
        os.close(descriptor)


def _size(announced: PoolAnnounced) -> tuple[object, ...]:
    return announced.epoch, announced.chunks, announced.leaving, announced.geometries


def _log(message: Message) -> None:
    noun, verb = message.SUBJECT.rsplit(".", 2)[-2:]
    fields = {name: getattr(message, name) for name in message.__struct_fields__ if name != "at"}
    level = log.warning if isinstance(message, ReservationDecided) and not message.granted else log.info
    level(f"{noun}.{verb}", **fields)

