"""Real engines on the CPU with the connector, and what tests ask of them."""
from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from generator.engine import arguments
from generator.engine.settings import EngineSettings
from kvstore.engine.config import transfer_config

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-engine"
TINY = ENVIRONMENT / "tiny"
BLOCK, BLOCKS, CONTEXT = 32, 44, 1_344
"""Tokens a block, blocks an engine has: a prompt of 600 tokens fills 18 of them, so that two push a third out."""
_READY_SECONDS = 200
_JSON = {"Content-Type": "application/json"}


def require_environment() -> None:
    """Skip where the engine's environment was not built; in CI its absence is a failure."""
    if (ENVIRONMENT / ".ready").exists():
        return
    if os.environ.get("CI"):
        pytest.fail("the engine's environment is missing: `make engine` builds it")
    pytest.skip("the engine's environment is missing: `make engine` builds it")


class Answer:
    """One completion."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.ids: list[int] = answer["choices"][0]["token_ids"]
        self.cached: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]


class Engine:
    """vLLM with the tiny model, few blocks, and `transfer` as its --kv-transfer-config."""

    def __init__(self, log: Path, transfer: str) -> None:
        self.log = log
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        settings = EngineSettings(model=str(TINY), kv_gib=1, args=(
            "--max-model-len", str(CONTEXT), "--num-gpu-blocks-override", str(BLOCKS), "--dtype", "float32",
            "--kv-transfer-config", transfer,
        ))
        command = arguments.command(
            settings, str(ENVIRONMENT / "bin/python"), cpu=True, model=str(TINY), port=self._port
        )
        env = os.environ | arguments.environment(settings, cpu=True, local=True) | {"PYTHONPATH": str(ROOT)}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["nice", *command], env=env, stdout=output, stderr=output, start_new_session=True
            )

    def wait_ready(self) -> None:
        end = time.monotonic() + _READY_SECONDS
        while True:
            assert self._process.poll() is None and time.monotonic() < end, self.log.read_text()[-4000:]
            with contextlib.suppress(OSError):
                self._open("/health").read()
                return
            time.sleep(0.2)

    def end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self._process.pid, number)
                self._process.wait(20)

    def ask(self, prompt: Sequence[int], tokens: int = 16, **more: object) -> Answer:
        """A greedy completion; an engine that died or hangs fails the test."""
        with self._post(prompt, tokens, **more) as answer:
            return Answer(json.load(answer))

    @contextlib.contextmanager
    def streaming(self, prompt: Sequence[int], tokens: int) -> Iterator[Stream]:
        """A completion that is read as it comes, by a thread, and aborted at the end of the block."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("POST", "/v1/completions", self._body(prompt, tokens, stream=True, ignore_eos=True), _JSON)
        stream = Stream(connection.getresponse())
        try:
            yield stream
        finally:
            with contextlib.suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)
            stream.join()
            connection.close()

    def _post(self, prompt: Sequence[int], tokens: int, **more: object) -> Any:
        return self._open("/v1/completions", self._body(prompt, tokens, **more))

    def _body(self, prompt: Sequence[int], tokens: int, **more: object) -> bytes:
        body = {
            "model": TINY.name, "prompt": list(prompt), "max_tokens": tokens, "temperature": 0,
            "return_token_ids": True,
        }
        return json.dumps(body | more).encode()

    def _open(self, path: str, data: bytes | None = None) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, _JSON)
        return urllib.request.urlopen(request, timeout=60)


class Stream:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.ids: list[int] = []
        self.running = True
        self._answer = answer
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait_for(self, tokens: int) -> list[int]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.ids) >= tokens, 60), f"{len(self.ids)} of {tokens} tokens"
            return list(self.ids)

    def join(self) -> None:
        self._thread.join()

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            for line in self._answer:
                if line.startswith(b"data: {"):
                    with self._more:
                        self.ids += json.loads(line[6:])["choices"][0]["token_ids"] or []
                        self._more.notify_all()
        self.running = False


def two_engines(folder: Path, sockets: Path) -> Iterator[tuple[Engine, Engine]]:
    """Started at the same time: most of it is waiting for imports. They wait for a pool longer than live ones would, so
    that a busy machine makes no misses."""
    require_environment()
    transfer = transfer_config(str(sockets), min_load_tokens=BLOCK, retry_seconds=0.05, timeout_seconds=5.0)
    engines = Engine(folder / "a.log", transfer), Engine(folder / "b.log", transfer)
    try:
        for engine in engines:
            engine.wait_ready()
        yield engines
    finally:
        for engine in engines:
            engine.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
