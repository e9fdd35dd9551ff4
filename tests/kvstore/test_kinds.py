"""Which memory fits which engine, and what a service refuses to be configured as."""
from __future__ import annotations

import pytest

from common.errors import UsageError
from kvstore.memory import MemoryFailed, make_peer
from kvstore.service import device_of
from kvstore.settings import KvstoreSettings


def test_an_engine_on_a_gpu_takes_no_host_memory_and_one_on_the_cpu_no_gpus() -> None:
    with pytest.raises(MemoryFailed, match="KIND=vmm"):
        make_peer("shm", context=1)
    with pytest.raises(MemoryFailed, match="needs a CUDA context"):
        make_peer("vmm", context=None)
    assert make_peer("shm").maps


def test_a_device_is_refused_where_it_would_be_ignored() -> None:
    with pytest.raises(UsageError, match="KIND=vmm"):
        device_of(KvstoreSettings(kind="shm", device="GPU-1"))
    assert device_of(KvstoreSettings(kind="shm")) == "cpu"
    assert device_of(KvstoreSettings(kind="nixl")) == "cpu"
    assert device_of(KvstoreSettings(kind="nixl", device="far")) == "far"
