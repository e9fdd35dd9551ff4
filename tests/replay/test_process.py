"""The replay endpoint as a process of its own."""
from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from generator.llm import Endpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "reasoning.md").write_text("Think.")
    (tmp_path / "1" / "answer.md").write_text("Done.")
    (tmp_path / "recording.toml").write_text('format = 1\nmodel = "m"\nrate = 45\n')
    return tmp_path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "generator.replay", *map(str, arguments)]


def ended(pid: int) -> bool:
    """Whether the process is gone within ten seconds; a zombie that nobody reaps counts as gone."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


async def mode_of(url: str) -> str:
    async with Endpoint(url, "m") as endpoint:
        return (await endpoint.probe()).mode


def test_says_where_it_listens_and_ends_on_sigterm(folder: Path) -> None:
    ready = folder / "ready.json"
    arguments = command("--recording", folder, "--ready-file", ready, "--rate", 900)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line == json.loads(ready.read_text())
        assert (line["model"], line["rate"]) == ("m", 900)
        assert asyncio.run(mode_of(line["url"])) == "tokens"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_ends_with_its_parent(folder: Path) -> None:
    ready = folder / "ready.json"
    arguments = command("--recording", folder, "--ready-file", ready)
    parent = (
        "import subprocess, sys, time, pathlib\n"
        f"p = subprocess.Popen({arguments!r})\n"
        f"while not pathlib.Path({str(ready)!r}).exists(): time.sleep(0.05)\n"
    )
    subprocess.run([sys.executable, "-c", parent], cwd=ROOT, timeout=60, check=True, stdout=subprocess.DEVNULL)
    assert ended(json.loads(ready.read_text())["pid"])


@pytest.mark.parametrize(("arguments", "said"), [
    (["--recording", "/nowhere"], "does not exist"),
    (["--recording", "{folder}", "--rate", "-1"], "--rate must be above 0"),
    (["--recording", "{folder}", "--host", "203.0.113.1"], "cannot listen on"),
])
def test_one_line_and_exit_code_2(folder: Path, arguments: list[str], said: str) -> None:
    filled = [argument.format(folder=folder) for argument in arguments]
    done = subprocess.run(command(*filled), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_starts_without_torch(folder: Path) -> None:
    code = "import sys, generator.replay.command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ), timeout=60).returncode == 0
