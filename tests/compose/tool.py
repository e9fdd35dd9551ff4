"""The real compose, where it is installed: reads the file as `docker compose up` would, and needs no daemon for it."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from typing import Any

from tests.compose.files import ROOT, SET


@cache
def compose_command() -> list[str] | None:
    """`docker compose`, or version 2 of `docker-compose`; None where there is neither."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]):
            ran = subprocess.run([*words, "version", "--short"], capture_output=True, text=True)
            if ran.returncode == 0 and not ran.stdout.startswith(("1.", "v1.")):
                return words
    return None


def config(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`compose … config` without a .env file; `env` fills in the variables (default: a token)."""
    command = compose_command()
    assert command is not None
    values = SET if env is None else env
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    words = [*command, "--env-file", os.devnull, "--file", str(ROOT / "docker-compose.yml"), *options, "config"]
    return subprocess.run([*words, "--format", "json"], capture_output=True, text=True, env=clean | values, timeout=60)


def resolved(*profiles: str, env: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """The services that start with these profiles, by name."""
    ran = config(*(word for profile in profiles for word in ("--profile", profile)), env=env)
    assert ran.returncode == 0, ran.stderr
    services: dict[str, dict[str, Any]] = json.loads(ran.stdout)["services"]
    return services
