"""Loads that a copier only queues, as on a GPU: the engine's own thread begins them and sees them through."""
from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from tests.kvstore.fake_engine import FakeEngine, Queueing, content, key, stored
from tests.kvstore.service import PoolService, until

HELD = [key(number) for number in range(10)]


@pytest.fixture
def queueing(service: PoolService, make: Callable[..., FakeEngine]) -> tuple[FakeEngine, Queueing]:
    """An engine that has loaded `HELD` before, so that all chunks are mapped."""
    a, b = make("a"), make("b", queues=True)
    a.store("r", HELD)
    stored(service, len(HELD))
    assert b.load("s", HELD) == (len(HELD), 0)
    copier = b.transfers._lanes["load"].copier
    assert isinstance(copier, Queueing)
    until(lambda: b.transfers._lanes["load"].idle)
    copier.queued_by.clear()
    return b, copier


def test_a_load_that_waits_for_nothing_is_the_engines_own_threads(queueing: tuple[FakeEngine, Queueing]) -> None:
    """Two pieces under way, then the third, while the other thread has not woken from the first."""
    b, copier = queueing
    copier.gates = [threading.Event() for _ in range(3)]
    copier.wakes = threading.Event()
    gates, here = list(copier.gates), threading.current_thread().name
    b.transfers.submit(101, "load", range(8), b.tier.pin(HELD[:8]))
    assert copier.queued_by == [here] * 2
    assert b.transfers.finished() == []
    for gate in gates:
        gate.set()
    assert [done.id for done in b.transfers.finished()] == [101]
    assert copier.queued_by == [here] * 3
    copier.wakes.set()
    assert not b.transfers.take_failed()
    assert all(np.array_equal(b.block(number), content(HELD[number])) for number in range(8))


def test_a_load_that_the_engine_does_not_ask_for_ends_all_the_same(queueing: tuple[FakeEngine, Queueing]) -> None:
    """And what it had mapped is given back."""
    b, _ = queueing
    b.transfers.submit(101, "load", range(8), b.tier.pin(HELD[:8]))
    b.transfers.wait([101])
    until(lambda: not any(b.transfers._pools["cpu"]._users.values()))
    assert [done.id for done in b.transfers.finished()] == [101]


def test_a_load_behind_another_is_left_to_the_thread(queueing: tuple[FakeEngine, Queueing]) -> None:
    b, copier = queueing
    copier.gates = [gate := threading.Event()]
    b.transfers.submit(101, "load", range(3), b.tier.pin(HELD[:3]))
    b.transfers.submit(102, "load", range(3, 6), b.tier.pin(HELD[:3]))
    gate.set()
    b.transfers.wait([101, 102])
    assert copier.queued_by == [threading.current_thread().name, "kv-load"]
    assert [done.id for done in b.transfers.finished()] == [101, 102] and not b.transfers.take_failed()
    assert all(np.array_equal(b.block(number), content(HELD[number % 3])) for number in range(6))
