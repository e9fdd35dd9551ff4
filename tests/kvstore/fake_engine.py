"""The engine's side without an engine: blocks in host memory, a tier and a worker."""
from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kvstore.engine.config import TierConfig
from kvstore.engine.copier import Bools, Copy, Places
from kvstore.engine.host import Bytes, HostCopier
from kvstore.engine.remote import RemoteCopier, host_buffer
from kvstore.engine.slots import Ints, Slots
from kvstore.engine.tier import Tier
from kvstore.engine.transfers import Transfers
from kvstore.geometry import Geometry, Space
from kvstore.wire import Hello
from tests.kvstore.service import PoolService, until

WIDTHS = (96, 160)
GEOMETRY = Geometry(layout="test", dtype="float32", tokens=16, payload=sum(WIDTHS))
PAGES = 8
CHUNK = PAGES * GEOMETRY.page_bytes
BLOCKS = 24


def content(key: bytes) -> Bytes:
    return np.random.default_rng(list(key)).integers(0, 256, GEOMETRY.payload, dtype=np.uint8)


def key(number: int) -> bytes:
    return number.to_bytes(4, "big") * 9


class Queued:
    """A copy that is made when the device comes to it. Who waits for it wakes later."""

    def __init__(self, copy: Callable[[], Copy], done: threading.Event, wakes: threading.Event) -> None:
        self._copy = copy
        self._done = done
        self._wakes = wakes

    def ready(self) -> bool:
        return self._done.is_set()

    def wait(self) -> None:
        assert self._done.wait(60) and self._wakes.wait(60)

    def result(self) -> Bools:
        assert self._done.wait(60)
        return self._copy().result()


class Queueing(HostCopier):
    """Its loads are queued. `queued_by` names the threads that did; the device comes to the next ones as `gates` open,
    and to others at once."""

    queues = True
    slice_bytes = 3 * GEOMETRY.payload

    def __init__(self, regions: Sequence[Bytes]) -> None:
        super().__init__(regions, GEOMETRY, 0)
        self.queued_by: list[str] = []
        self.gates: list[threading.Event] = []
        self.wakes = opened()

    def load(self, blocks: Ints, places: Places, mark: None) -> Copy:
        self.queued_by.append(threading.current_thread().name)
        gate = self.gates.pop(0) if self.gates else opened()
        return Queued(partial(super().load, blocks, places, mark), gate, self.wakes)


def opened() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


class FakeEngine:
    """Blocks of KV in two regions, a tier and a worker, without what computes. With `queues` a load only queues."""

    def __init__(self, folder: Path, name: str, tenant: str = "", *, queues: bool = False) -> None:
        self.regions = [np.zeros((BLOCKS, width), dtype=np.uint8) for width in WIDTHS]
        config = TierConfig(sockets=str(folder), min_load_tokens=0, timeout_seconds=5.0, retry_seconds=0.02)
        space = Space(model="m", tenant=tenant)
        self.tier = Tier(config, Hello(role="manager", engine=name, space=space, geometry=GEOMETRY))
        hello = Hello(role="worker", engine=name, space=space, geometry=GEOMETRY, shape="two")
        store, load = [
            RemoteCopier(HostCopier(self.regions, GEOMETRY, 0), GEOMETRY, 0, host_buffer, None) for _ in range(2)
        ]
        self.transfers = Transfers(folder, hello, store, Queueing(self.regions) if queues else load)
        self.jobs = 0

    def connected(self) -> bool:
        """Whether the worker can copy; the service counts it a little earlier, when it has sent its welcome."""
        return self.transfers.connected()

    def fill(self, block: int, data: Bytes) -> None:
        first, second = np.split(data, [WIDTHS[0]])
        self.regions[0][block], self.regions[1][block] = first, second

    def block(self, block: int) -> Bytes:
        return np.concatenate([region[block] for region in self.regions])

    def store(self, request: str, keys: list[bytes]) -> int:
        """Compute the blocks and store what the tier wants; how many."""
        granted = self.tier.reserve(request, keys)
        for number, name in enumerate(granted.keys):
            self.fill(number, content(name))
        self._run("store", len(granted.keys), granted.slots)
        return len(granted.keys)

    def load(self, request: str, keys: list[bytes]) -> tuple[int, int]:
        """Load what can be found; (loaded, failed). A block that counts as loaded must be the right one."""
        count = self.tier.find(request, keys, 0)
        slots = self.tier.pin(keys[:count])
        for region in self.regions:
            region[:] = 0
        failed = self._run("load", count, slots)
        for number, name in enumerate(keys[:count]):
            if number not in failed:
                assert np.array_equal(self.block(number), content(name)), "a wrong block"
        return count - len(failed), len(failed)

    def _run(self, direction: str, count: int, slots: Slots) -> set[int]:
        self.jobs += 1
        self.transfers.submit(self.jobs, direction, list(range(count)), slots)  # type: ignore[arg-type]
        self.transfers.wait([self.jobs])
        assert [done.id for done in self.transfers.finished()] == [self.jobs]
        return self.transfers.take_failed()

    def close(self) -> None:
        self.tier.close()
        self.transfers.close()


def stored(service: PoolService, blocks: int) -> None:
    until(lambda: service.call(service.pool.blocks) == blocks)
