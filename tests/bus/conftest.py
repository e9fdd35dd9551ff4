"""A second server with tiny streams, for what happens when they are full."""
from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from common.bus import Bus, BusSettings, Server
from tests.servers import running_server


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = BusSettings(state_dir=str(tmp_path_factory.mktemp("small")), stream_mib={"job": 1, "tok": 1})
    with running_server(settings) as server:
        yield server


@pytest.fixture
async def small_bus(small_server: Server) -> AsyncIterator[Bus]:
    async with await Bus.connect("test", small_server.settings) as connected:
        yield connected
