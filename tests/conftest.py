"""Fixtures shared by all tests: a real NATS server for a module, a bus connected to it for a test, a compile cache."""
from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from common.bus import Bus, BusSettings, Server
from tests.servers import running_server


@pytest.fixture(scope="session", autouse=True)
def one_compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Headers are precompiled once. A cache that SPECGEN_JUDGE_CACHE names, as `make test` does, is used as it is."""
    with pytest.MonkeyPatch.context() as patch:
        if "SPECGEN_JUDGE_CACHE" not in os.environ:
            patch.setenv("SPECGEN_JUDGE_CACHE", str(tmp_path_factory.getbasetemp() / "judge-cache"))
        yield


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the module. Tests share it: name runs differently. `nats_server.settings` is what clients need."""
    settings = BusSettings(state_dir=str(tmp_path_factory.mktemp("nats")), lease_seconds=1.5)
    with running_server(settings) as server:
        yield server


@pytest.fixture
async def bus(nats_server: Server) -> AsyncIterator[Bus]:
    async with await Bus.connect("test", nats_server.settings) as connected:
        yield connected


JUDGED = ("judge", "kernels", "pipeline", "commands/test_live", "compose", "docs", "replay/test_example", "scheduler")
"""Tests whose candidates run in the sandbox."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Candidates have a /tmp of their own, so a checkout that lies there is not to be seen from within."""
    root = Path(__file__).parent
    if not str(root).startswith("/tmp/"):
        return
    skip = pytest.mark.skip(reason="the sandbox hides /tmp: judge from a checkout elsewhere")
    for item in items:
        if str(item.path.relative_to(root)).startswith(JUDGED):
            item.add_marker(skip)
