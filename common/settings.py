"""Settings: defaults < TOML file < environment < flags, parsed into a frozen struct before anything heavy is imported.

The TOML file is named by SPECGEN_CONFIG and has one table a section. A variable is SPECGEN_<SECTION>_<FIELD>.
Whatever is not known is an error that names the nearest known setting.
"""
from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from common.errors import UsageError

S = TypeVar("S", bound=msgspec.Struct)

CONFIG_VARIABLE = "SPECGEN_CONFIG"
_ALONE = {CONFIG_VARIABLE, "SPECGEN_SANDBOX", "SPECGEN_LOG"}
"""Variables that belong to no section: the file itself, the sandbox's off switch, the log level."""


def load(section: str, kind: type[S], /, *, env: Mapping[str, str] | None = None, **overrides: Any) -> S:
    """The settings of one section. `overrides` are flags; those that are None were not given.

    Raises UsageError for an unknown field, a wrong type or an unreadable file.
    """
    env = os.environ if env is None else env
    values = _from_file(section, env) | _from_env(section, kind, env)
    values |= {name: value for name, value in overrides.items() if value is not None}
    _refuse_unknown(values, kind.__struct_fields__, f"setting of [{section}]")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"setting of [{section}]: {error}{_json_hint(str(error))}") from None


def _json_hint(error: str) -> str:
    """For a list or a table that came as plain text."""
    if re.match(r"Expected `(array|object)[^`]*`.* got `str`", error) is None:
        return ""
    return "; in a variable a list or a table is JSON, as in '[0, 1]'"


def read_file(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a TOML file."""
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"{CONFIG_VARIABLE} names {path}, which does not exist") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the settings file {path}: {error}") from None
    if alone := next((name for name, values in tables.items() if not isinstance(values, dict)), None):
        raise UsageError(f"{path}: {alone} is in no table: settings stand below their section's name, as in [judge]")
    return tables


def known_sections() -> dict[str, type[msgspec.Struct]]:
    """Every section an installed service declares."""
    return {entry.name: entry.load() for entry in entry_points(group="specgen.settings")}


def refuse_unknown(env: Mapping[str, str] | None = None) -> None:
    """UsageError for a section of the file or a SPECGEN_ variable that no installed service knows."""
    env = os.environ if env is None else env
    sections = known_sections()
    if path := env.get(CONFIG_VARIABLE):
        for section, values in read_file(Path(path)).items():
            _refuse_unknown([section], list(sections), f"table in {path}")
            _refuse_unknown(values, sections[section].__struct_fields__, f"setting of [{section}]")
    known = {variable(section, field) for section, kind in sections.items() for field in kind.__struct_fields__}
    _refuse_unknown([name for name in env if name.startswith("SPECGEN_")], known | _ALONE, "environment variable")


def variable(section: str, field: str) -> str:
    return f"SPECGEN_{section}_{field}".upper()


def to_toml(sections: Mapping[str, msgspec.Struct]) -> str:
    """The resolved settings as a file that `load` reads back; fields that are None are left out."""
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        table = msgspec.to_builtins(values)
        lines += [f"{name} = {_toml_value(value)}" for name, value in table.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


def _toml_value(value: Any) -> str:
    """JSON's scalars, strings and arrays are TOML's; tables inside a section become inline tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{msgspec.json.encode(k).decode()} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    return msgspec.json.encode(value).decode()


def _from_file(section: str, env: Mapping[str, str]) -> dict[str, Any]:
    path = env.get(CONFIG_VARIABLE)
    return dict(read_file(Path(path)).get(section, {})) if path else {}


def _from_env(section: str, kind: type[msgspec.Struct], env: Mapping[str, str]) -> dict[str, Any]:
    return {
        field: _parse(env[variable(section, field)])
        for field in kind.__struct_fields__
        if variable(section, field) in env
    }


def _parse(text: str) -> Any:
    """A JSON list or object as such; anything else stays text and is converted by the field's type."""
    if text[:1] in "[{":
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return text


def _refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    known = list(known)
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {nearest[0]}?" if nearest else f"; known: {', '.join(sorted(known)[:12])}"
            raise UsageError(f"unknown {what}: {name}{hint}")
