"""Every command line that a page or a command's help shows is one its parser takes, though most are not run here."""
from __future__ import annotations

import re
import shlex
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from common.cli import GROUP, Command, Parser
from tests.docs.readme import commands

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "examples" / "README.md"]
MODULES = {entry.name: entry.value for entry in entry_points(group=GROUP)}


def shown() -> list[str]:
    """Without what a shell would do with them: pipes and substitutions."""
    texts = [page.read_text() for page in PAGES]
    texts += [re.sub("^ *", "    ", import_module(module).EXAMPLES, flags=re.MULTILINE) for module in MODULES.values()]
    lines = [line for text in texts for line in commands(text) if line.startswith("specgen ")]
    return sorted({re.sub(r"\$\(.*\)", "RUN", line.split(" | ")[0]) for line in lines})


@pytest.mark.parametrize("line", shown())
def test_it_parses(line: str) -> None:
    name, *rest = shlex.split(line)[1:]
    command: Command = import_module(MODULES[name])  # type: ignore[assignment]
    parser = Parser(prog=f"specgen {name}", allow_abbrev=False)
    command.add_arguments(parser)
    parser.parse_args(rest)


def test_modules_that_are_run_exist() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"python -m ([a-z][\w.]*\w)", text)) - {"pytest"}
    assert len(named) >= 5
    assert [module for module in named if find_spec(module) is None] == []


def test_options_of_modules_that_are_run_exist() -> None:
    """Not by their parsers: some modules want an engine or a GPU before they parse anything."""
    text = "\n".join(page.read_text() for page in PAGES)
    shown = re.findall(r"python -m ((?:bench|generator)[\w.]*) ([^#`\n]*)", text)
    assert sum("--" in arguments for _, arguments in shown) >= 15
    for module, arguments in shown:
        taken = "".join(path.read_text() for path in sources(module))
        assert [word for word in re.findall(r"--[a-z][a-z-]*", arguments) if f'"{word}"' not in taken] == [], module


def sources(module: str) -> list[Path]:
    """Its file, or those of a package that is run."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    origin = Path(spec.origin)
    return sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]
