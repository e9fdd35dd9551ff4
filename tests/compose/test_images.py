"""The Dockerfiles: what they copy is there, what they install is pinned, and the coordinators get no torch."""
from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.compose.files import ROOT

FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
CONTEXT = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def installs(file: Path) -> list[str]:
    """The words of each `pip install`."""
    text = file.read_text().replace("\\\n", " ")
    return [match[1] for match in re.finditer(r"pip install ([^&\n]*)", text)]


def test_the_context_has_every_package_and_what_building_it_needs() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "requirements"}
    assert {*packages, *needed, "docker/healthy.py"} == CONTEXT
    assert all((ROOT / name).exists() for name in CONTEXT)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_only_pinned_files_are_installed(file: Path) -> None:
    assert installs(file)
    for words in installs(file):
        sources = re.findall(r"--(?:requirement|constraint) (\S+)", words)
        assert sources, f"{words} names no versions"
        for source in sources:
            made_here = f"> {source}" in file.read_text()
            assert made_here or (ROOT / source).is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_images_are_pinned_and_copy_from_the_context_alone(file: Path) -> None:
    text = file.read_text()
    for argument, image in re.findall(r"^ARG (PYTHON|CUDA)=(\S+)$", text, re.MULTILINE):
        assert re.match(r"\d+\.\d+", image), f"{argument}: a tag that moves"
    for source in re.findall(r"^COPY (?!--)(\S+) ", text, re.MULTILINE):
        assert source in {".", *CONTEXT}


def test_requirements_of_a_package_without_extras_are_all_pinned() -> None:
    """So `--constraint requirements/cpu.txt` leaves no version open."""
    pinned = (ROOT / "requirements" / "cpu.txt").read_text()
    for requirement in PROJECT["project"]["dependencies"]:
        name = re.split(r"[<>=\[]", requirement)[0]
        assert re.search(rf"^{re.escape(name)}==", pinned, re.MULTILINE), name


@pytest.mark.parametrize("module", [
    "generator.service", "trigger.service", "scheduler.service", "kvstore.service", "common.cli",
    "common.commands.submit", "common.commands.run", "generator.replay.command", "common.judge.lane.compile",
])
def test_coordinators_import_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.soak
def test_the_coordinators_steps_in_a_plain_environment(tmp_path: Path) -> None:
    """What the image runs, in an empty environment: it installs, has no torch, and its commands start."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    [words] = installs(ROOT / "docker" / "coordinators.Dockerfile")
    subprocess.run([str(python), "-m", "pip", "install", "-q", *words.split()], cwd=ROOT, check=True)
    assert subprocess.run([str(python), "-c", "import torch"], capture_output=True).returncode == 1
    for command in (["-m", "common.cli", "--help"], ["-m", "generator.replay", "--help"]):
        subprocess.run([str(python), *command], cwd=tmp_path, check=True, capture_output=True)
