"""Copies through a buffer whose transfers fail, without NIXL."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvstore.engine import remote
from kvstore.engine.copier import Places
from kvstore.engine.host import HostCopier
from kvstore.engine.remote import RemoteCopier, host_buffer
from kvstore.memory import Mapping, MemoryFailed
from kvstore.memory.agent import Remote
from kvstore.memory.nixl import RemoteMapping
from tests.kvstore.fake_engine import GEOMETRY, WIDTHS

ONE = np.zeros(1, dtype=np.int64)
PLACES = Places([RemoteMapping(Remote("far"), 4_096, GEOMETRY.page_bytes)], ONE, ONE, ONE + 7)


class Broken:
    """An agent that moves nothing."""

    def __init__(self) -> None:
        self.moves = 0

    def register(self, *arguments: Any, **more: Any) -> None:
        return None

    def move(self, *arguments: Any, **more: Any) -> None:
        self.moves += 1
        raise MemoryFailed("the pool's host does not answer")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Broken:
    broken = Broken()
    monkeypatch.setattr(remote, "agent", lambda: broken)
    return broken


def copier(made: list[Mapping]) -> RemoteCopier:
    def buffer(size: int) -> Mapping:
        made.append(host_buffer(size))
        return made[-1]

    regions = [np.zeros((2, width), dtype=np.uint8) for width in WIDTHS]
    return RemoteCopier(HostCopier(regions, GEOMETRY, 0), GEOMETRY, 0, buffer, None)


def test_a_write_that_failed_leaves_its_buffer_to_the_next(agent: Broken) -> None:
    made: list[Mapping] = []
    stores = copier(made)
    for _ in range(20):
        with pytest.raises(MemoryFailed, match="does not answer"):
            stores.store(ONE, PLACES, None)
    assert (len(made), agent.moves) == (1, 20)


def test_reads_that_fail_cost_a_few_buffers_and_then_none_is_tried(agent: Broken) -> None:
    """Each may still be written to, so none can be used again."""
    made: list[Mapping] = []
    loads = copier(made)
    for _ in range(8):
        with pytest.raises(MemoryFailed, match="does not answer"):
            loads.load(ONE, PLACES, None)
    for _ in range(12):
        with pytest.raises(MemoryFailed, match="no more are tried"):
            loads.load(ONE, PLACES, None)
    assert (len(made), agent.moves) == (8, 8)
