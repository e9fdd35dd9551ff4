"""The engine a command line asks for: checked before anything is written, started, and waited for."""
from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec

from common.commands.endpoint import free_port
from common.errors import UsageError
from common.supervise import Supervisor, python_service

ENGINES = ("vllm",)
_MODULE = "generator.engine"


class Ready(msgspec.Struct):
    """What the engine service writes once the engine answers."""

    url: str
    model: str


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    engine = parser.add_argument_group("a model served here")
    engine.add_argument("--engine", choices=ENGINES, help="start this engine, with the model that --model names")
    engine.add_argument("--engine-arg", action="append", default=[], metavar="ARG",
                        help="passed on to it, e.g. --engine-arg=--max-model-len=32768; may be repeated")


def require_engine(args: argparse.Namespace) -> None:
    """UsageError, in the engine service's own words, where it cannot be started."""
    command = [sys.executable, "-m", _MODULE, *_arguments(args), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(done.stderr.strip().splitlines()[-1].removeprefix("engine: "))


async def start_engine(supervisor: Supervisor, args: argparse.Namespace, logs: Path) -> Ready:
    """Start the engine and wait until it answers: half a minute for a small model, minutes for a large one.

    It keeps its port when it is restarted. ServiceFailed, with the engine's own words, where it does not start.
    """
    ready_file = logs / "engine.json"
    ready_file.unlink(missing_ok=True)  # a former engine's address
    files = ("--ready-file", str(ready_file), "--log", str(logs / "vllm.log"))
    supervisor.add(python_service(_MODULE, *_arguments(args), "--port", str(free_port()), *files, name="engine"))
    assert supervisor.failure is not None
    while not ready_file.exists():
        if supervisor.failure.done():
            supervisor.failure.result()
        await asyncio.sleep(0.1)
    return msgspec.json.decode(ready_file.read_bytes(), type=Ready)


def _arguments(args: argparse.Namespace) -> list[str]:
    return ["--model", args.model, *(f"--engine-arg={argument}" for argument in args.engine_arg)]
