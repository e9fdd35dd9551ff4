"""Every command of README.md is run here, or listed with the reason why not."""
from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.readme import README, commands
from tests.pipeline.recordings import kernel, write_recording
from tests.pipeline.replay import replay

NOT_RUN = {
    "make run": "a run of the bundled recording takes minutes; tests/replay and tests/pipeline run its parts",
    "make test": "it is what runs this test",
    "specgen run TASK.py --llm https://host/v1 --model NAME --api-key-env MY_KEY": "no such host",
    "specgen run TASK.py --engine vllm --model DIR --device cuda": "wants a GPU; tests/engine starts vLLM on a CPU",
}
NOT_RUN_PREFIXES = {
    "docker ": "there is no docker where tests run; tests/compose runs the services' commands",
    "make ": "environments are built before tests run",
}
DEADLINE = 120.0
SLOW = 5.0
"""Tokens a second of the run that is cancelled, so that it has not ended before."""


def reason(command: str) -> str | None:
    """Why a command is not run, or None."""
    prefixed = (why for prefix, why in NOT_RUN_PREFIXES.items() if command.startswith(prefix))
    return NOT_RUN.get(command) or next(prefixed, None)


@dataclasses.dataclass
class Host:
    """A system that is up, with an endpoint, as the README's reader has it."""

    folder: Path
    recording: Path
    url: str
    env: dict[str, str]
    run: str = ""

    def words(self, command: str) -> list[str]:
        """The README's placeholders replaced by what is here."""
        for placeholder, value in (
            ("TASK.py", str(self.folder / "task.py")), ("KERNEL.py", str(self.folder / "kernel.py")),
            ("http://127.0.0.1:8000", self.url), ("--llm URL", f"--llm {self.url}"), ("NAME", "small"),
            ("--iterations 10", "--iterations 1"), (" RUN", f" {self.run}"),
        ):
            command = command.replace(placeholder, value)
        return [sys.executable, "-m", "common.cli", *shlex.split(command)[1:]]

    def call(self, command: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = [*self.words(command), *more]
        return subprocess.run(words, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=DEADLINE)

    def submit(self, *more: str) -> str:
        submitted = self.call("specgen submit TASK.py --llm URL", "--iterations", "1", *more)
        assert submitted.returncode == 0, submitted.stderr
        [name] = [word for word in submitted.stdout.split() if word.startswith("readme-")]
        return name

    def until_ended(self, name: str) -> None:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            rows = json.loads(self.call("specgen status", "--json").stdout)["runs"]
            if any(row["run"] == name and row["state"] not in ("waiting", "running") for row in rows):
                return
            time.sleep(0.5)
        raise AssertionError(f"{name} did not end")


@contextmanager
def up(host: Host) -> Iterator[None]:
    """`specgen up`, as the README has it, until the block ends."""
    with (host.folder / "up.log").open("wb") as output:
        process = subprocess.Popen(host.words("specgen up"), env=host.env, stdout=output, stderr=output)
    try:
        end = time.monotonic() + DEADLINE
        while b"up at" not in (host.folder / "up.log").read_bytes():
            assert process.poll() is None and time.monotonic() < end, (host.folder / "up.log").read_text()[-2000:]
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host") / "readme"
    _, recording = write_recording(folder, [(["passed"], "wrong_shape")], rate=800.0)
    (folder / "kernel.py").write_text(kernel("passed", 1))
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPECGEN_")}
    env |= {"SPECGEN_BUS_STATE_DIR": str(folder / "state"), "SPECGEN_JUDGE_TIME_SECONDS": "1"}
    with replay(recording) as url:
        here = Host(folder, recording, url, env)
        with up(here):
            here.run = here.submit("--allow-library")
            here.until_ended(here.run)
            yield here


def test_no_command_is_forgotten() -> None:
    shown = commands(README.read_text())
    assert len(shown) >= 10
    unknown = [c for c in shown if reason(c) is None and not c.startswith("specgen ")]
    assert unknown == [], "run it in this test, or say in NOT_RUN why not"
    assert set(NOT_RUN) <= set(shown), "NOT_RUN is about commands that README.md no longer has"


@pytest.mark.parametrize("command", [c for c in commands(README.read_text()) if reason(c) is None])
def test_command(command: str, host: Host) -> None:
    name = command.split()[1]
    if name == "up":
        return  # every other command here talks to it
    if name == "tap":
        return tap(command, host)
    if name == "cancel":
        return cancel(command, host)
    ran = host.call(command)
    said = f"{command}\n{ran.stdout[-1500:]}\n{ran.stderr[-1500:]}"
    # `run` and `check` exit with 1 where no kernel beat eager, `doctor` where something is missing.
    assert ran.returncode in ((0, 1) if name in ("run", "check", "doctor") else (0,)), said
    assert EXPECTED.get(name, "") in ran.stdout, said


EXPECTED = {"run": "report: ", "submit": "readme-", "status": "workers", "check": "eager", "doctor": "sandbox"}
"""What a command's output holds when it did its work."""


FIRST = {"evt": "run.started", "tok": "TokenDelta"}
"""What the first line that `tap` shows of a root is about."""


def tap(command: str, host: Host) -> None:
    """Shows what is stored, then what comes, until it is ended."""
    process = subprocess.Popen(
        [*host.words(command), "--since", "10m"], env=host.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert FIRST[command.split("'")[1].split(".")[0]] in process.stdout.readline()
    finally:
        process.terminate()
        process.wait(30)


def cancel(command: str, host: Host) -> None:
    with replay(host.recording, rate=SLOW) as url:
        slow = dataclasses.replace(host, url=url)
        slow.run = slow.submit()
        ran = slow.call(command)
        assert ran.returncode == 0 and "will end" in ran.stdout, ran.stderr
        slow.until_ended(slow.run)
