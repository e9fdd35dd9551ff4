"""Defaults < TOML < environment < flags; whatever is not known names its nearest neighbour."""
from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from common.bus import BusSettings
from common.errors import UsageError
from common.settings import known_sections, load, refuse_unknown, to_toml


class Example(msgspec.Struct, frozen=True, kw_only=True):
    attempts: int = 3
    seconds: float = 1.5
    name: str | None = None
    cores: tuple[int, ...] = ()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "specgen.toml"
    path.write_text('[example]\nattempts = 4\nseconds = 2.5\nname = "file"\n')
    return path


def test_each_layer_overrides_the_one_before(config: Path) -> None:
    env = {"SPECGEN_CONFIG": str(config), "SPECGEN_EXAMPLE_SECONDS": "9", "SPECGEN_EXAMPLE_NAME": "env"}
    assert load("example", Example, env={}) == Example()
    assert load("example", Example, env=env, name="flag") == Example(attempts=4, seconds=9.0, name="flag")
    assert load("example", Example, env=env, name=None).name == "env"


def test_lists_come_as_json_from_the_environment() -> None:
    assert load("example", Example, env={"SPECGEN_EXAMPLE_CORES": "[1, 2]"}).cores == (1, 2)


def test_a_list_that_is_no_json_is_refused_with_how_to_write_it() -> None:
    with pytest.raises(UsageError, match=r"cores.*JSON, as in '\[0, 1\]'"):
        load("example", Example, env={"SPECGEN_EXAMPLE_CORES": "1,2"})
    with pytest.raises(UsageError, match="JSON"):
        load("bus", BusSettings, env={"SPECGEN_BUS_STREAM_MIB": '{"evt": 512'})


def test_an_unknown_field_names_its_nearest(tmp_path: Path) -> None:
    path = tmp_path / "specgen.toml"
    path.write_text("[example]\natempts = 4\n")
    with pytest.raises(UsageError, match=r"unknown setting of \[example\]: atempts; did you mean attempts\?"):
        load("example", Example, env={"SPECGEN_CONFIG": str(path)})


@pytest.mark.parametrize("value", ["many", "1.5"])
def test_a_wrong_type_says_which_field(value: str) -> None:
    with pytest.raises(UsageError, match="attempts"):
        load("example", Example, env={"SPECGEN_EXAMPLE_ATTEMPTS": value})


@pytest.mark.parametrize("text", ["[example", "\x00", "attempts = 4"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "specgen.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"specgen\.toml"):
        load("example", Example, env={"SPECGEN_CONFIG": str(path)})
    with pytest.raises(UsageError, match="does not exist"):
        load("example", Example, env={"SPECGEN_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(("variable", "value", "says"), [
    ("SPECGEN_BUS_STREAM_MIB", '{"evt": 0}', "stream_mib must be at least 1"),
    ("SPECGEN_JUDGE_PAIRS", "0", "pairs must be at least 1"),
    ("SPECGEN_JUDGE_CALL_SECONDS", "-1", "call_seconds must not be negative"),
    ("SPECGEN_JUDGE_CONFIDENCE", "95", "confidence must be between 0 and 1"),
])
def test_a_value_that_makes_no_sense_is_refused(variable: str, value: str, says: str) -> None:
    section = variable.split("_")[1].lower()
    with pytest.raises(UsageError, match=says):
        load(section, known_sections()[section], env={variable: value})


def test_an_unknown_variable_or_table_is_refused_before_anything_starts(config: Path) -> None:
    with pytest.raises(UsageError, match=r"SPECGEN_SCHEDULER_ATEMPTS; did you mean SPECGEN_SCHEDULER_ATTEMPTS\?"):
        refuse_unknown({"SPECGEN_SCHEDULER_ATEMPTS": "1"})
    with pytest.raises(UsageError, match="unknown table"):
        refuse_unknown({"SPECGEN_CONFIG": str(config)})
    refuse_unknown({"SPECGEN_SCHEDULER_ATTEMPTS": "1", "SPECGEN_LOG": "info", "OTHER": "x"})


def test_the_resolved_settings_of_every_section_read_back_equal(tmp_path: Path) -> None:
    sections = {name: kind() for name, kind in known_sections().items()}
    path = tmp_path / "resolved.toml"
    path.write_text(to_toml(sections))
    for name, values in sections.items():
        assert load(name, type(values), env={"SPECGEN_CONFIG": str(path)}) == values
