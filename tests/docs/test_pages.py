"""The pages' links, commands, settings and examples are real."""
from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from common.settings import known_sections, variable
from common.task import task_problem

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]
FOLDERS = ("common", "generator", "trigger", "scheduler", "validator", "profiler", "kvstore", "tests", "docs", "docker",
           "examples", "bench", "requirements")
ALONE = {"SPECGEN_CONFIG", "SPECGEN_LOG", "SPECGEN_SANDBOX"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        assert target.startswith(("http:", "https:")) or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([\w./-]+\.md)#([^)]+)\)", page.read_text()):
        headings = re.findall(r"^#+ (.+)$", (page.parent / target).read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_folders_and_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_variables_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    commands = {entry.name for entry in entry_points(group="specgen.commands")}
    assert set(re.findall(r"(?:`|^ {4})specgen ([a-z]+)", text, re.MULTILINE)) <= commands
    sections = known_sections()
    known = {variable(section, field) for section, kind in sections.items() for field in kind.__struct_fields__}
    named = set(re.findall(r"\bSPECGEN_[A-Z]+(?:_[A-Z]+)*\b(?!_|<)", text))
    assert named <= known | ALONE


def test_the_example_of_a_task_is_one() -> None:
    [source] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tasks.md").read_text(), re.DOTALL)
    assert task_problem(source) is None
