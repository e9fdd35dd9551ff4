"""The `docker compose` commands that pages show name profiles, services and options that the compose file has."""
from __future__ import annotations

import itertools
import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.compose.files import services
from tests.docs.readme import README, commands

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
SHOWN = [
    command for page in (README, OPERATING) for command in commands(page.read_text())
    if command.startswith("docker compose ")
]
COMMENTED = re.findall(r"^#\s+(docker compose .*)$", (README.parent / "docker-compose.yml").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", dict.fromkeys([*SHOWN, *COMMENTED]))
def test_command(command: str) -> None:
    words = shlex.split(command)
    known = services()
    profiles = {profile for service in known.values() for profile in service.get("profiles", [])}
    assert {value for word, value in itertools.pairwise(words) if word == "--profile"} <= profiles
    scaled = [value for word, value in itertools.pairwise(words) if word == "--scale"]
    assert all(value.split("=")[0] in known and value.split("=")[1].isdigit() for value in scaled)
    if "run" in words:
        service, *given = [word for word in words[words.index("run") + 1 :] if word != "--rm"]
        assert known[service]["entrypoint"] == ["specgen"]
        assert given[0] in {entry.name for entry in entry_points(group="specgen.commands")}


def test_there_are_some() -> None:
    assert len(SHOWN) >= 4 and COMMENTED
