"""The benchmark's pool, on host memory: the same commands it is given on a GPU."""
from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bench.kv.child import pool_child, reached
from bench.kv.revoking import revoke
from kvstore.line import Line
from kvstore.wire import Quiet
from tests.kvstore.fake_engine import FakeEngine, key
from tests.kvstore.service import hello, until


def test_it_grows_shrinks_and_pauses_as_it_is_told(tmp_path: Path) -> None:
    with pool_child(tmp_path, "--kind", "shm", "--chunk-mib", "1", "--most-mib", "3") as pool:
        pool.wait_chunks(3)
        assert pool.ask("shrink", chunks=2)["leaving"] == 0
        assert pool.ask("reserve", bytes=1)["granted"]
        pool.ask("release")
        refused = pool.ask("reserve", bytes=2**50)
        assert not refused["granted"] and refused["chunks"] == 0
        pool.wait_chunks(3)
        worker = Line(tmp_path / "pool.sock", hello("worker"), 5.0)

        def acknowledge() -> None:
            worker.receive()
            worker.send(Quiet())

        listener = threading.Thread(target=acknowledge)
        listener.start()
        quiet = pool.ask("reserve", bytes=1, quiet=True)
        assert quiet["granted"] and quiet["peers"] == 1
        listener.join()
        pool.ask("release")
        worker.close()
    assert {"PoolGrown", "PoolShrunk", "ReservationDecided"} <= {event["event"] for event in pool.events}


def test_what_is_revoked_while_loads_hold_it_is_all_there_before(tmp_path: Path) -> None:
    """A revocation of chunks that no load uses says nothing of one that has to wait."""
    keys = [key(n) for n in range(20)]
    with pool_child(tmp_path, "--kind", "shm", "--chunk-mib", "1", "--most-mib", "2") as pool:
        pool.wait_chunks(2)
        engine = FakeEngine(tmp_path, "a", queues=True)
        reached(engine.transfers)
        engine.store("r", keys)
        until(lambda: engine.tier.find("s", keys, 0) == 20)
        assert revoke(pool, engine.tier, engine.transfers, keys, busy=True) > 0
        assert pool.wait_chunks(2)["blocks"] == 0
        with pytest.raises(RuntimeError, match="0 of 20 blocks"):
            revoke(pool, engine.tier, engine.transfers, keys, busy=True)
        engine.close()
