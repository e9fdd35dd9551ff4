"""A command and all that it starts keep off the cores that time kernels."""
from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from common.bus import BusSettings
from common.commands import run
from common.devices import DeviceSettings, other_cores
from common.errors import UsageError
from common.pinned import pinned
from common.system import Plan, local, local_system

ALL = os.sched_getaffinity(0)


@pytest.fixture
def shared() -> set[int]:
    """The cores that are left to services; on a host of one core that one."""
    return set(other_cores(DeviceSettings()))


class Server:
    """Stands for the bus's server; remembers the cores that a child would inherit when it was started."""

    settings = BusSettings()
    cores: frozenset[int] = frozenset()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_the_server_and_the_command_itself_run_on_the_shared_cores(
    tmp_path: Path, shared: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()

    async def start(settings: BusSettings) -> Server:
        server.cores = frozenset(os.sched_getaffinity(0))
        return server

    monkeypatch.setattr(local, "start_server", start)
    monkeypatch.setattr(Plan, "services", lambda plan: [])
    sections = {"bus": BusSettings(state_dir=str(tmp_path)), "devices": DeviceSettings(cores=tuple(sorted(ALL)))}
    async with local_system(Plan(tmp_path, sections, (), 0, 0)):
        assert os.sched_getaffinity(0) == shared
    assert server.cores == shared
    assert os.sched_getaffinity(0) == ALL, "and all of them again afterwards"


async def test_so_does_what_a_run_starts_beside_a_system_that_is_up(
    tmp_path: Path, shared: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_up(settings: BusSettings) -> bool:
        return True

    monkeypatch.setattr(run, "is_up", is_up)
    args = argparse.Namespace(device="cpu")
    async with run._system(args, tmp_path):
        assert os.sched_getaffinity(0) == shared
    assert os.sched_getaffinity(0) == ALL


def test_cores_that_are_not_there_are_named() -> None:
    with pytest.raises(UsageError, match="cannot use the cores 1023"), pinned((1023,)):
        pass
    assert os.sched_getaffinity(0) == ALL
