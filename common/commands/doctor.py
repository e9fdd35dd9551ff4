"""`specgen doctor`: what each service needs on this host, and what is missing."""
from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec

from common.bus import BusSettings
from common.bus.server import find_binary
from common.commands.endpoint import require_answer
from common.devices import DeviceSettings, discover
from common.errors import SpecgenError, UsageError
from common.judge import sandbox_problem
from common.settings import load, refuse_unknown
from common.system import is_up

NAME = "doctor"
HELP = "say what is missing on this host for each service"
EXAMPLES = """\
  specgen doctor
  specgen doctor --device cuda --llm http://127.0.0.1:8000"""

GIB = 2**30
LEAST_DISK = 2 * GIB


class Finding(msgspec.Struct):
    topic: str
    ok: bool
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("cpu", "cuda"), help="kind of device to judge on (default: settings, cpu)")
    parser.add_argument("--llm", metavar="URL", help="endpoint to look at as well")
    parser.add_argument("--json", action="store_true", help="the same as a JSON list")


def run(args: argparse.Namespace) -> int:
    """0 where nothing is missing, 1 otherwise."""
    findings = list(examine(args.device, args.llm))
    if args.json:
        print(msgspec.json.encode(findings).decode())
    else:
        for finding in findings:
            print(f"{'ok     ' if finding.ok else 'MISSING'}  {finding.topic}: {finding.text}")
    return 0 if all(finding.ok for finding in findings) else 1


def examine(device: str | None, llm: str | None) -> Iterator[Finding]:
    yield _try("settings", _settings)
    yield _try("server", lambda: f"nats-server at {find_binary()}")
    yield _try("system", _system)
    yield _try("devices", lambda: _devices(device))
    yield _try("torch (validator, profiler)", lambda: _module("torch"))
    if _kind(device) == "cuda":
        yield _try("triton (validator, profiler)", lambda: _module("triton"))
        yield _try("nvcc (CUDA sources)", lambda: _program("nvcc", "install the CUDA toolkit, or set CUDA_HOME"))
    yield _try("C++ compiler (validator)", lambda: _program("g++", "install g++ (on Debian: apt-get install g++)"))
    yield _try("ninja (validator)", lambda: _program("ninja", "pip install ninja"))
    yield _try("sandbox (validator, profiler)", _sandbox)
    yield _try("disk", _disk)
    if llm:
        yield _try("endpoint", lambda: _endpoint(llm))


def _try(topic: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(topic, True, look())
    except SpecgenError as error:
        return Finding(topic, False, str(error))


def _settings() -> str:
    refuse_unknown()
    return "every setting is known"


def _system() -> str:
    settings = load("bus", BusSettings)
    return f"up, state in {settings.state_dir}" if asyncio.run(is_up(settings)) else "none is up; `run` starts its own"


def _kind(given: str | None) -> str | None:
    """What kernels are for here; what is wrong with the settings is found elsewhere."""
    try:
        return load("devices", DeviceSettings, kind=given).kind
    except UsageError:
        return given


def _devices(kind: str | None) -> str:
    devices = discover(load("devices", DeviceSettings, kind=kind))
    return ", ".join(f"{d.id} ({d.name}, cores {_cores(d.cores)}, {'+'.join(d.stages)})" for d in devices)


def _cores(cores: tuple[int, ...]) -> str:
    return str(cores[0]) if len(cores) == 1 else f"{cores[0]}-{cores[-1]}"


def _module(name: str) -> str:
    if find_spec(name) is None:
        raise SpecgenError("not installed: install the file in requirements/ for this kind of host")
    return "installed"


def _program(name: str, remedy: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SpecgenError(f"not on the PATH: {remedy}")
    return path


def _sandbox() -> str:
    if problem := sandbox_problem():
        raise SpecgenError(problem)
    off = os.environ.get("SPECGEN_SANDBOX") == "off"
    return "OFF by SPECGEN_SANDBOX: every result is labelled sandbox_off" if off else "works"


def _disk() -> str:
    folder = Path(load("bus", BusSettings).state_dir)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        raise SpecgenError(f"{free / GIB:.1f} GiB free at {folder}: the streams want {LEAST_DISK / GIB:.0f} GiB")
    return f"{free / GIB:.1f} GiB free at {folder}"


def _endpoint(url: str) -> str:
    require_answer(url)
    return f"something answers at {url}"
