"""What a host's services are told when they are started."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.bus import BusSettings
from common.bus.discovery import Announcement, announce, find_server
from common.devices import DeviceSettings
from common.settings import load
from common.system import make_plan


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


def test_an_announced_server_is_reached_with_its_own_token(tmp_path: Path) -> None:
    announce(tmp_path, Announcement(url="nats://127.0.0.1:1", token="its own", pid=1))
    settings = BusSettings(state_dir=str(tmp_path), token="for a server elsewhere")
    assert find_server(settings) == ("nats://127.0.0.1:1", "its own")
