"""`specgen`: finds commands by entry point and imports only the one that is called, so that it answers at once."""
from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import entry_points, version
from typing import NoReturn, Protocol

from common.errors import SpecgenError, UsageError

GROUP = "specgen.commands"
FIRST = ("run", "check", "doctor", "up", "submit", "status", "tap", "report", "cancel", "resume", "dead",
         "limits")
"""The order in which a newcomer meets them; others follow."""


class Command(Protocol):
    """A module that is a command."""

    NAME: str
    HELP: str
    EXAMPLES: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None: ...

    @staticmethod
    def run(args: argparse.Namespace) -> int: ...


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 not (the command says what), 2 unusable input, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(argv)
    except UsageError as error:
        print(f"specgen: {error}", file=sys.stderr)
        return 2
    except SpecgenError as error:
        print(f"specgen: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"specgen: {where}{error.strerror or error}", file=sys.stderr)
        return 1


def _dispatch(argv: list[str]) -> int:
    modules = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview(modules))
        return 0
    if argv[0] == "--version":
        print(f"specgen {version('specgen')}")
        return 0
    name, *rest = argv
    if name not in modules:
        nearest = difflib.get_close_matches(name, modules, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"commands: {', '.join(_ordered(modules))}"
        raise UsageError(f"no command {name!r}; {hint}")
    command: Command = import_module(modules[name])  # type: ignore[assignment]
    parser = Parser(
        prog=f"specgen {name}", description=command.HELP, epilog=f"examples:\n{command.EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )
    command.add_arguments(parser)
    return command.run(parser.parse_args(rest))


def _overview(modules: dict[str, str]) -> str:
    commands: list[Command] = [import_module(modules[name]) for name in _ordered(modules)]  # type: ignore[misc]
    width = max(map(len, modules))
    lines = [f"  {command.NAME:<{width}}  {command.HELP}" for command in commands]
    return "\n".join([
        "usage: specgen COMMAND …", "",
        "Makes GPU kernels faster: a reasoning LLM proposes, services judge while it still reasons.", "",
        "commands:", *lines, "", "`specgen COMMAND --help` shows a command's options and examples.",
    ])


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


if __name__ == "__main__":
    raise SystemExit(main())
