"""What is prepared before anything runs: options, recordings as runs, compile caches, a checkout's metadata."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.replayed import options, runs
from bench.replayed.cache import without_kernels
from common.devices import DeviceSettings
from common.errors import UsageError
from tests.pipeline.recordings import write_recording

ROOT = Path(__file__).parents[2]


def test_recordings_become_runs(tmp_path: Path) -> None:
    task, recording = write_recording(tmp_path, [(["passed"], "passed"), ([], "passed")])
    words = ["--model", str(tmp_path), "--recordings", str(recording), str(recording), "--iterations", "1"]
    given = options.parse(words)
    first, second = runs.read(given)
    run = runs.submitted(given, first, "on", "http://h", DeviceSettings())
    assert run.task.source == task.read_text() and run.speculate and run.budget.iterations == 1
    assert not runs.submitted(given, second, "off", "http://h", DeviceSettings()).speculate
    assert first.name != second.name
    with pytest.raises(UsageError, match="has 2 iterations"):
        first.iteration(3)


@pytest.mark.parametrize(("words", "why"), [
    (["--model", "/no/such/model"], "no model"), (["--model", "/", "--parts", "on,up"], "each at most once"),
    (["--model", "/", "--parts", "on,on"], "each at most once"),
])
def test_what_makes_no_sense_is_refused(words: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        options.parse(words)


def test_every_recording_of_the_examples_can_be_played() -> None:
    for names in (options.CPU_RECORDINGS, options.GPU_RECORDINGS):
        given = options.parse(["--model", "/", "--recordings", *(str(ROOT / name) for name in names)])
        assert len(runs.read(given)) == len(names)


def test_a_cache_without_kernels_keeps_headers(tmp_path: Path) -> None:
    for file in ("headers/torch/extension.h", "kernel/main.so"):
        path = tmp_path / "cache" / file
        path.parent.mkdir(parents=True)
        path.write_text("")
    folder = without_kernels(tmp_path / "cache", tmp_path / "part" / "cache")
    assert [path.name for path in folder.iterdir()] == ["headers"]
    assert list(without_kernels(tmp_path / "none", tmp_path / "other").iterdir()) == []


def test_a_checkout_that_is_not_installed_finds_its_settings(tmp_path: Path) -> None:
    """With the packages it needs on the path and its own metadata left out, as on a host without an installation."""
    packages = tmp_path / "packages"
    packages.mkdir()
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    for entry in site.iterdir():
        if not entry.name.lower().startswith(("specgen", "_specgen", "__editable__")):
            (packages / entry.name).symlink_to(entry)
    code = (
        "import pathlib, sys; from bench.replayed.installed import declare; from common.settings import known_sections;"
        "before = list(known_sections()); declare(pathlib.Path(sys.argv[1])); print(before, sorted(known_sections()))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(tmp_path / "info")], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{packages}:{ROOT}"},
    )
    assert done.stdout.startswith("[] ['bus', 'devices'"), done.stderr
