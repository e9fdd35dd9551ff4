"""`docker compose config` reads the file, and finds in it what the other tests of this folder found by parsing."""
from __future__ import annotations

from typing import Any

import pytest

from tests.compose.files import SET, services
from tests.compose.tool import compose_command, config, resolved

pytestmark = pytest.mark.skipif(compose_command() is None, reason="docker compose (version 2) is not installed")
EVERYWHERE = {"nats", "generator", "trigger", "scheduler"}


def test_every_service_has_the_command_that_the_tests_run() -> None:
    found = resolved("*")
    assert set(found) == set(services())
    for name, service in services().items():
        assert words(found[name].get("command")) == words(service.get("command")), name


def words(command: Any) -> list[str]:
    """A command as one list; an argument that a variable left empty stays one."""
    return ["" if word is None else str(word) for word in command or []]


@pytest.mark.parametrize(("profile", "more"), [
    ("cpu", {"validator", "profiler"}),
    ("gpu", {"validator-gpu", "profiler-gpu", "vllm"}),
    ("gpu-kv", {"validator-gpu", "profiler-gpu", "vllm-kv", "kvstore-gpu"}),
    ("replay", {"replay"}),
])
def test_a_profile_starts_these(profile: str, more: set[str]) -> None:
    assert set(resolved(profile)) == EVERYWHERE | more


def test_rights_networks_and_devices_survive_the_merging_of_anchors() -> None:
    for name, service in resolved("*").items():
        meant = services()[name]
        assert service["cap_drop"] == ["ALL"] and service.get("cap_add") == meant.get("cap_add"), name
        assert set(service["networks"]) == set(meant["networks"]), name
        assert service.get("read_only") == meant.get("read_only"), name
        reserved = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
        assert bool(reserved) == ("deploy" in meant), name
        assert not service.get("ports") and not service.get("container_name"), name


def test_without_a_token_it_says_what_to_do() -> None:
    ran = config("--profile", "cpu", env={})
    assert ran.returncode != 0 and "copy .env.example to .env and set a token" in ran.stderr


def test_variables_reach_the_services() -> None:
    found = resolved("gpu", env=SET | {"LLM_MODEL": "some/model", "JUDGE_GPUS": "2,3", "LLM_GPUS": "0,1"})
    assert "some/model" in found["vllm"]["command"]
    assert found["vllm"]["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert found["validator-gpu"]["environment"]["CUDA_VISIBLE_DEVICES"] == "2,3"
