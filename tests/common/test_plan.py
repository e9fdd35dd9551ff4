"""What a host's services are told when they are started."""
from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.bus import BusSettings
from common.bus.discovery import Announcement, announce, find_server
from common.devices import Device, DeviceSettings, cpu_slots
from common.settings import load
from common.supervise import Supervisor
from common.system import Plan, local, local_system, make_plan
from common.system.plan import validators_for
from profiler.settings import ProfilerSettings
from validator.settings import ValidatorSettings


def test_services_resolve_what_the_command_resolved_whatever_variables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECGEN_BUS_STATE_DIR", str(tmp_path / "another"))
    monkeypatch.setenv("SPECGEN_DEVICES_KIND", "cuda")
    plan = make_plan(tmp_path, state_dir=tmp_path / "state", device="cpu", validators=1, profilers=1)
    plan.write_config()
    for service in plan.services():
        env = {**os.environ, **service.env}
        assert load("bus", BusSettings, env=env) == plan.bus, service.name
        assert load("devices", DeviceSettings, env=env) == plan.sections["devices"], service.name


def test_services_may_take_longer_to_end_than_a_worker_to_finish_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grace = make_plan(tmp_path, state_dir=tmp_path, device="cpu").grace()
    assert grace > max(ValidatorSettings().drain_seconds, ProfilerSettings().drain_seconds)
    monkeypatch.setenv("SPECGEN_PROFILER_DRAIN_SECONDS", "1000")
    assert make_plan(tmp_path, state_dir=tmp_path, device="cpu").grace() > 1000


@pytest.mark.parametrize(("gpus", "cores", "validators"), [(1, 16, 3), (1, 8, 2), (1, 2, 1), (8, 128, 24), (8, 16, 8)])
def test_on_gpus_more_validate_than_there_are_as_far_as_cores_go(gpus: int, cores: int, validators: int) -> None:
    devices = [Device(id=f"GPU-{n}", kind="cuda", cores=tuple(range(cores)), index=n) for n in range(gpus)]
    assert validators_for(devices) == validators


def test_a_plan_for_a_gpu_has_its_validators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, GPU-0, one'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("SPECGEN_DEVICES_CORES", "[0,1,2,3,4,5,6,7,8,9,10,11]")
    names = [service.name for service in make_plan(tmp_path, state_dir=tmp_path, device="cuda").services()]
    assert names[3:] == ["validator-1", "validator-2", "validator-3", "profiler-1"]
    named = make_plan(tmp_path, state_dir=tmp_path, device="cuda", validators=1)
    assert named.validators == 1


@pytest.mark.parametrize(("cores", "validators"), [(1, 1), (2, 1), (8, 7)])
def test_on_cores_as_many_validate_as_there_are_slots_for_it(cores: int, validators: int) -> None:
    devices = cpu_slots(DeviceSettings(), tuple(range(cores)))
    assert validators_for(devices) == validators


async def test_a_local_system_gives_them_that_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graces = []

    class Watched(Supervisor):
        def __init__(self, logs: Path, *, grace: float) -> None:
            graces.append(grace)
            super().__init__(logs, grace=grace)

    @asynccontextmanager
    async def server(settings: BusSettings) -> AsyncIterator[Any]:
        yield SimpleNamespace(settings=settings)

    async def start(settings: BusSettings) -> Any:
        return server(settings)

    monkeypatch.setattr(local, "Supervisor", Watched)
    monkeypatch.setattr(local, "start_server", start)
    monkeypatch.setattr(Plan, "services", lambda plan: [])
    plan = make_plan(tmp_path, state_dir=tmp_path, device="cpu")
    async with local_system(plan):
        assert graces == [plan.grace()]


def test_an_announced_server_is_reached_with_its_own_token(tmp_path: Path) -> None:
    announce(tmp_path, Announcement(url="nats://127.0.0.1:1", token="its own", pid=1))
    settings = BusSettings(state_dir=str(tmp_path), token="for a server elsewhere")
    assert find_server(settings) == ("nats://127.0.0.1:1", "its own")
