"""The service over its socket, with real shared memory."""
from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kvstore.geometry import Geometry, Handle, Space
from kvstore.handles import pack, present, unpack
from kvstore.line import Line, LineDown, SessionRefused
from kvstore.memory import MemoryFailed, make_peer
from kvstore.memory.shm import SharedMapping
from kvstore.wire import (
    Ask,
    Handles,
    Offer,
    Pause,
    Pin,
    Quiet,
    Reserve,
    Resume,
    Revoke,
    State,
    Touch,
    Unmapped,
    Wrote,
)
from tests.kvstore import service as services
from tests.kvstore.service import GEOMETRY, PoolService, connect, hello, pool_service

until = partial(services.until, seconds=10)
KEYS = [bytes([n]) * 36 for n in range(8)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PoolService]:
    with pool_service(tmp_path / "s") as made:
        yield made


def offer(worker: Line) -> tuple[Offer, int]:
    packet, descriptor = worker.receive()
    assert isinstance(packet, Offer)
    assert descriptor is not None
    return packet, descriptor


def reserve(manager: Line, keys: list[bytes]) -> Handles:
    answer = manager.ask(Reserve(keys=keys))
    assert isinstance(answer, Handles)
    return answer


def state(manager: Line, keys: list[bytes]) -> State:
    answer = manager.ask(Ask(keys=keys))
    assert isinstance(answer, State)
    return answer


def mapped(service: PoolService, packet: Offer, descriptor: int, *, writable: bool = True) -> SharedMapping:
    mapping = make_peer("shm").open(packet.token, descriptor, service.pool.chunk_bytes, writable=writable)
    assert isinstance(mapping, SharedMapping)
    os.close(descriptor)
    return mapping


def test_what_one_engine_stores_another_reads(service: PoolService) -> None:
    a, writer = connect(service, "manager", "a"), connect(service, "worker", "a")
    b, reader = connect(service, "manager", "b"), connect(service, "worker", "b")
    answer = reserve(a, KEYS[:3])
    packet, descriptor = offer(writer)
    memory = mapped(service, packet, descriptor)
    handles = present(answer.handles)
    assert len(handles) == 3
    for n, handle in enumerate(handles):
        at = GEOMETRY.offset(handle.page, 0)
        memory.memory[at : at + GEOMETRY.payload] = bytes([n + 1]) * GEOMETRY.payload
    assert state(b, KEYS[:3]).count == 0, "not written yet"
    writer.send(Wrote(handles=pack(handles)))
    until(lambda: state(b, KEYS[:3]).count == 3)
    pinned = b.ask(Pin(keys=KEYS[:4]))
    assert isinstance(pinned, Handles)
    assert unpack(pinned.handles) == [*handles, None]
    theirs = mapped(service, *offer(reader))
    found = [theirs.memory[GEOMETRY.offset(handle.page, 0)] for handle in handles]
    assert found == [1, 2, 3]
    for line in (a, writer, b, reader):
        line.close()


def test_a_reader_cannot_map_for_writing(service: PoolService) -> None:
    manager, reader = connect(service, "manager"), connect(service, "worker", writes=False)
    reserve(manager, KEYS[:1])
    packet, descriptor = offer(reader)
    with pytest.raises(MemoryFailed, match="reading only"):
        make_peer("shm").open(packet.token, descriptor, service.pool.chunk_bytes, writable=True)
    mapping = make_peer("shm").open(packet.token, descriptor, service.pool.chunk_bytes, writable=False)
    view = np.frombuffer(mapping.memory, np.uint8)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(descriptor, b"x")
    os.close(descriptor)


def test_a_new_chunk_is_zero_and_cannot_shrink_under_a_reader(service: PoolService) -> None:
    manager, worker = connect(service, "manager"), connect(service, "worker")
    reserve(manager, KEYS[:1])
    packet, descriptor = offer(worker)
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    assert not any(mapped(service, packet, descriptor).memory[:])


def test_revocation_waits_for_the_peer_and_its_old_mapping_stays_valid(service: PoolService) -> None:
    manager, worker = connect(service, "manager"), connect(service, "worker")
    (handle,) = present(reserve(manager, KEYS[:1]).handles)
    mapping = mapped(service, *offer(worker))
    worker.send(Wrote(handles=pack([handle])))
    until(lambda: state(manager, KEYS[:1]).count == 1)
    before = state(manager, KEYS[:1]).epoch
    assert service.call(lambda: service.desk.shrink(1)) == [handle.chunk]
    packet, _ = worker.receive()
    assert packet == Revoke(chunks=[handle.chunk])
    assert state(manager, KEYS[:1]) == State(epoch=before + 1)
    assert service.call(service.desk.release) == []
    assert "has not unmapped" in service.call(service.desk.blockers)
    mapping.memory[0] = 7
    mapping.close()
    worker.send(Unmapped(chunks=[handle.chunk]))
    until(lambda: service.call(service.pool.releasable) == [handle.chunk])
    assert service.call(service.desk.release) == [handle.chunk]
    worker.send(Wrote(handles=pack([handle])))
    assert reserve(manager, KEYS[:1]).short, "the pool has nothing left"


def test_a_worker_that_dies_has_unmapped(service: PoolService) -> None:
    manager, worker = connect(service, "manager"), connect(service, "worker")
    reserve(manager, KEYS[:2])
    offer(worker)
    service.call(lambda: service.desk.shrink(1))
    worker.close()
    until(lambda: service.call(service.pool.releasable))


def test_an_engine_that_dies_loses_its_half_written_pages(service: PoolService) -> None:
    manager, worker = connect(service, "manager", "dead"), connect(service, "worker", "dead")
    reserve(manager, KEYS[:2])
    other, _others = connect(service, "manager", "other"), connect(service, "worker", "other")
    manager.close()
    assert unpack(reserve(other, KEYS[:2]).handles) == [None, None], "its worker may still write"
    worker.close()
    until(lambda: all(unpack(reserve(other, KEYS[:2]).handles)))


def test_a_pause_stops_everything_until_it_ends(service: PoolService) -> None:
    manager, worker = connect(service, "manager"), connect(service, "worker")
    (handle,) = present(reserve(manager, KEYS[:1]).handles)
    offer(worker)
    worker.send(Wrote(handles=pack([handle])))
    until(lambda: state(manager, KEYS[:1]).count == 1)
    before = state(manager, KEYS[:1])
    service.call(service.desk.pause)
    assert worker.receive()[0] == Pause()
    assert not service.call(lambda: service.desk.quiet)
    assert state(manager, KEYS[:1]) == State(epoch=before.epoch, paused=True)
    assert reserve(manager, KEYS[1:2]).short
    worker.send(Quiet())
    until(lambda: service.call(lambda: service.desk.quiet))
    service.call(service.desk.resume)
    assert worker.receive()[0] == Resume()
    after = state(manager, KEYS[:1])
    assert after.count == 1
    assert after.epoch > before.epoch, "blocks refused meanwhile may be offered again"


def test_a_worker_that_comes_during_a_pause_is_told(service: PoolService) -> None:
    service.call(service.desk.pause)
    worker = connect(service, "worker")
    assert worker.receive()[0] == Pause()
    assert not service.call(lambda: service.desk.quiet)


def test_a_wrong_geometry_is_refused_with_the_difference(service: PoolService) -> None:
    first = connect(service, "manager")
    other = Geometry(layout="test", dtype="float32", tokens=32, payload=1024)
    with pytest.raises(SessionRefused, match="tokens 32 against 16"):
        connect(service, "manager", "b", geometry=other)
    first.close()
    until(lambda: not service.call(lambda: service.desk._sessions))
    connect(service, "manager", "b", geometry=other).close()


def test_another_tenant_sees_nothing(service: PoolService) -> None:
    service.grow(1)
    mine, worker = connect(service, "manager"), connect(service, "worker")
    space = Space(model="m", tenant="x")
    theirs, spy = connect(service, "manager", "spy", space=space), connect(service, "worker", "spy", space=space)
    (handle,) = present(reserve(mine, KEYS[:1]).handles)
    worker.send(Wrote(handles=pack([handle])))
    until(lambda: state(mine, KEYS[:1]).count == 1)
    assert state(theirs, KEYS[:1]).count == 0
    reserve(theirs, KEYS[:1])
    packet, _ = offer(spy)
    assert packet.chunk != handle.chunk, "a tenant maps only chunks of its own"


def test_memory_that_one_tenant_gave_up_comes_to_another_as_zeros(service: PoolService) -> None:
    mine, worker = connect(service, "manager"), connect(service, "worker")
    reserve(mine, KEYS[:1])
    packet, descriptor = offer(worker)
    mapping = mapped(service, packet, descriptor)
    mapping.memory[:] = b"\xff" * len(mapping.memory)
    service.call(lambda: service.desk.shrink(len(service.pool.live())))
    mapping.close()
    worker.send(Unmapped(chunks=[packet.chunk]))
    until(lambda: service.call(service.desk.release) or not service.call(service.pool.leaving))
    service.grow(1)
    space = Space(model="m", tenant="x")
    theirs, spy = connect(service, "manager", "spy", space=space), connect(service, "worker", "spy", space=space)
    assert present(reserve(theirs, KEYS[:1]).handles)
    given, descriptor = offer(spy)
    assert given.chunk != packet.chunk
    assert not any(mapped(service, given, descriptor).memory[:])


@pytest.mark.parametrize("changes", [{"version": 99}, {"part": 1}, {"part": -1}])
def test_a_hello_that_does_not_fit_is_refused(service: PoolService, changes: dict[str, int]) -> None:
    with pytest.raises(SessionRefused):
        connect(service, "manager", "e", **changes)


def test_nonsense_ends_the_session_and_not_the_service(service: PoolService) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(10)
        sock.connect(str(service.path))
        sock.send(b"\xc1 nonsense")
        assert b"Refusal" in sock.recv(4096)
    worker = connect(service, "worker")
    worker.send(Ask(keys=[]))
    with pytest.raises(SessionRefused, match="a worker sends no Ask"):
        worker.receive()
    assert state(connect(service, "manager"), KEYS).count == 0


def test_stale_handles_change_nothing(service: PoolService) -> None:
    manager, worker = connect(service, "manager"), connect(service, "worker")
    (handle,) = present(reserve(manager, KEYS[:1]).handles)
    worker.send(Wrote(handles=pack([Handle(handle.chunk, handle.page, handle.tag + 1), Handle(1, 2, 3)])))
    worker.send(Wrote(handles=pack([handle])))
    until(lambda: state(manager, KEYS[:1]).count == 1)


def test_a_service_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LineDown, match="no KV pool at"):
        Line(tmp_path / "nothing", hello("manager"), timeout=1.0)


def test_a_peer_that_does_not_read_is_refused_and_does_not_stop_the_service(service: PoolService) -> None:
    lazy = connect(service, "manager", "lazy")
    for _ in range(200):
        lazy.send(Touch(keys=KEYS))
    flood = [Ask(keys=KEYS)] * 20_000
    try:
        for packet in flood:
            lazy.send(packet)
    except LineDown:
        pass
    assert state(connect(service, "manager", "other"), KEYS).count == 0


def test_memory_that_is_not_there_is_refused() -> None:
    from kvstore.memory import make_owner  # noqa: PLC0415

    owner = make_owner("shm", "")
    with pytest.raises(MemoryFailed, match="are free"):
        owner.allocate(owner.total() * 2)
    assert 0 < owner.free() <= owner.total()
    assert owner.round_up(1) == mmap.PAGESIZE
