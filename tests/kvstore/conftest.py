"""A pool and engines without engines over it."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.bus import Bus, Server
from tests.kvstore.fake_engine import CHUNK, FakeEngine
from tests.kvstore.process import Process, fresh
from tests.kvstore.service import PoolService, pool_service, until


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PoolService]:
    with pool_service(tmp_path / "kv/cpu.sock", chunks=2, chunk_bytes=CHUNK) as made:
        yield made


@pytest.fixture
def make(service: PoolService) -> Iterator[Callable[..., FakeEngine]]:
    engines: list[FakeEngine] = []

    def start(name: str, tenant: str = "", *, queues: bool = False) -> FakeEngine:
        engines.append(FakeEngine(service.path.parent, name, tenant, queues=queues))
        until(engines[-1].connected)
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def shared(nats_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with Process(nats_server, tmp_path_factory.mktemp("kv")) as process:
        yield process


@pytest.fixture
async def process(bus: Bus, shared: Process) -> Process:
    await fresh(bus)
    return shared
