"""Each service's command as a process, on a server configured as in compose, with its health check beside it."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from common.bus.server import find_binary
from common.bus.state import free_port
from common.bus.streams import STREAMS
from docker.healthy import is_connected
from tests.compose.files import ROOT, SET, services

SMALL = {"SPECGEN_BUS_STREAM_MIB": json.dumps({stream.size: 16 for stream in STREAMS})}
"""The server reserves every stream's limit on its disk: the default limits want 11 GiB of it free."""
POOL = {"SPECGEN_KVSTORE_KIND": "shm", "SPECGEN_KVSTORE_MOST_MIB": "64"}
"""Of this host's memory, as there is no GPU."""
RUNNING = ("generator", "trigger", "scheduler", "validator", "profiler", "kvstore-gpu")
DEADLINE = 90.0


@contextmanager
def process(command: list[str], log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        started = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=env)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def server_config(folder: Path, port: int, monitor: int) -> Path:
    """docker/nats.conf with this host's ports and folder."""
    text = (ROOT / "docker" / "nats.conf").read_text()
    text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:8222", f"127.0.0.1:{monitor}")
    (folder / "nats.conf").write_text(text.replace('"/data"', f'"{folder}/data"'))
    return folder / "nats.conf"


def health(service: str, monitor: int) -> int:
    check = services()[service]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "/opt/healthy.py"]
    command = [sys.executable, str(ROOT / "docker" / "healthy.py"), *check[3:], f"http://127.0.0.1:{monitor}"]
    return subprocess.run(command, timeout=30, stdout=subprocess.DEVNULL).returncode


def until(condition: object, what: str) -> None:
    assert callable(condition)
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.3)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[tuple[dict[str, str], int]]:
    """A server as compose configures it: the environment of its clients, and its monitor's port."""
    port, monitor = free_port("127.0.0.1"), free_port("127.0.0.1")
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPECGEN_")} | SET | SMALL
    env |= {"SPECGEN_BUS_URL": f"nats://127.0.0.1:{port}", "SPECGEN_JUDGE_CACHE": str(tmp_path / "cache")}
    config = server_config(tmp_path, port, monitor)
    command = [find_binary(), "--config", str(config)]
    with TemporaryDirectory(prefix="kv") as sockets, process(command, tmp_path / "nats.log", env) as server:
        until(lambda: server.poll() is None and "Server is ready" in (tmp_path / "nats.log").read_text(), "server")
        yield env | POOL | {"SPECGEN_KVSTORE_SOCKETS": sockets}, monitor


def test_every_service_starts_works_together_and_is_healthy_while_it_runs(
    bus: tuple[dict[str, str], int], tmp_path: Path
) -> None:
    env, monitor = bus
    assert health("scheduler", monitor) == 1, "nothing is connected yet"
    with ExitStack() as stack:
        started = {}
        for name in RUNNING:
            command = [sys.executable, *services()[name]["command"][1:]]
            started[name] = stack.enter_context(process(command, tmp_path / f"{name}.log", env))
        for name in RUNNING:
            until(lambda name=name: started[name].poll() is not None or health(name, monitor) == 0, name)
            assert started[name].poll() is None, (tmp_path / f"{name}.log").read_text()[-2000:]
        until(lambda: stages(env) == {"validate", "profile"}, "both workers beat")
        started["trigger"].kill()
        started["trigger"].wait()
        until(lambda: health("trigger", monitor) == 1, "a dead service is not healthy")
        assert health("generator", monitor) == 0


def stages(env: dict[str, str]) -> set[str]:
    """Of the workers that `specgen status` sees."""
    command = [sys.executable, "-m", "common.cli", "status", "--json"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return {worker["stage"] for worker in json.loads(ran.stdout)["workers"]}


def test_a_wrong_token_is_refused_by_the_configured_server(bus: tuple[dict[str, str], int]) -> None:
    env, _ = bus
    command = [sys.executable, "-m", "common.cli", "status"]
    ran = subprocess.run(
        command, env=env | {"SPECGEN_BUS_TOKEN": "another"}, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode != 0 and re.search("refuses the token", ran.stderr)


def test_only_this_hosts_own_service_counts() -> None:
    names = ["validator-other-7", "scheduler-a1b2-7", "validator-a1b2-x"]
    assert not is_connected("validator", names, "a1b2")
    assert is_connected("validator", [*names, "validator-a1b2-12"], "a1b2")
    assert is_connected("validator", ["validator-a-b-12"], "a.b")
