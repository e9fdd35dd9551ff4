"""`specgen simulate`: what it prints, draws and refuses."""
from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.cli import main

SMALL = ["simulate", "--devices", "6", "--runs", "3", "--iterations", "2"]


def test_a_seed_gives_the_same_again_and_another_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--seeds", "2", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert main([*SMALL, "--seed", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == second
    assert first["figures"] != second["figures"]


def test_the_timeline_shows_every_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "pool.svg"
    assert main([*SMALL, "--timeline", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "end to end" in out and "p99" in out and "busy" in out
    root = ElementTree.parse(picture).getroot()
    rows = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if e.get("height") == "8"]
    assert main([*SMALL, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert len(rows) >= figures["profiled"] > 0


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["--devices", "0"], "--devices must be more than 0"),
    (["--seeds", "0"], "--seeds must be more than 0"),
    (["--stop", "soon"], "invalid choice: 'soon'"),
    (["--workers", "-1"], "--workers must be 0 or more"),
    (["--deaths-per-hour", "-1"], "must be 0 or more"),
    (["--compile-share", "1"], "--compile-share is a share below 1"),
    (["--timeline", "/no/such/folder/x.svg"], "there is no folder"),
])
def test_what_makes_no_sense_is_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *arguments]) == 2
    assert complaint in capsys.readouterr().err
