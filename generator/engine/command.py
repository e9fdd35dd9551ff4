"""The engine service's command line."""
from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from common.errors import UsageError
from common.logs import configure
from common.settings import load
from common.supervise import Service
from generator.engine import arguments, interpreter
from generator.engine.process import Engine
from generator.engine.settings import EngineSettings

_PORT_TRIES = 120
"""Four a second: a former engine may take a while to give its port free."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM or SIGINT, 2 where the engine cannot run as configured."""
    args = _parser().parse_args(argv)
    try:
        configure("engine")
        settings = load("engine", EngineSettings, model=args.model, args=tuple(args.engine_arg) or None)
        model, python = check_model(settings.model), interpreter.find(settings.python)
        if not args.check:
            asyncio.run(_run(args, settings, model, python))
    except UsageError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 2
    return 0


def check_model(model: str) -> str:
    """The model as vLLM takes it: a directory's full path, or a hub's name. UsageError where it is neither."""
    if not model:
        raise UsageError("name a model: --model DIR, or a hub's name such as Qwen/Qwen3-8B")
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise UsageError(f"{model} is no model: it has no config.json")
        return str(path.resolve())
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UsageError(f"there is no model directory {model}")
    return model


async def _run(args: argparse.Namespace, settings: EngineSettings, model: str, python: str) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    cpu = interpreter.on_cpu(settings.kind)
    service = Service(
        "vllm", arguments.command(settings, python, cpu=cpu, model=model, port=args.port),
        arguments.environment(settings, cpu=cpu, local=os.path.isabs(model)),
    )
    url = f"http://{settings.host}:{args.port}"
    engine = Engine(service, url, args.log, start_seconds=settings.start_seconds)
    try:
        await free(settings.host, args.port)
        await engine.run(lambda: _announce(args.ready_file, url, arguments.served_name(settings.model)))
    except asyncio.CancelledError:
        return


async def free(host: str, port: int) -> None:
    """Wait until the port can be had: a former engine may still be ending. UsageError where it stays taken."""
    for _ in range(_PORT_TRIES):
        if _can_bind(host, port):
            return
        await asyncio.sleep(0.25)
    raise UsageError(f"port {port} of {host} is taken by another program")


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _announce(ready_file: Path, url: str, model: str) -> None:
    """The file appears whole or not at all."""
    partial = ready_file.with_name(ready_file.name + ".partial")
    partial.write_bytes(msgspec.json.encode({"url": url, "model": model, "pid": os.getpid()}))
    partial.replace(ready_file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m generator.engine", description="Serve a model with vLLM until the parent process ends."
    )
    parser.add_argument("--model", help="model directory, or a hub's name")
    parser.add_argument("--engine-arg", action="append", default=[], metavar="ARG", help="passed on to vLLM's server")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--log", type=Path, default=Path("vllm.log"), metavar="FILE", help="what vLLM says")
    parser.add_argument("--ready-file", type=Path, default=Path("engine.json"), metavar="FILE",
                        help="written once it answers")
    parser.add_argument("--check", action="store_true", help="only say whether model and vLLM are there")
    return parser
