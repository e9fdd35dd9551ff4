"""The bundled recording plays, forks where a trigger may fire, and its candidates are what they are meant to be."""
from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from generator.digest import source_digest
from generator.extract import extract
from generator.replay.recording import Recording, load
from generator.replay.script import fork_text
from generator.replay.tokens import encode

EXAMPLE = Path(__file__).parents[2] / "examples" / "cauchy_smoother"
FAILS_TO_COMPILE, WRONG = (1, 0), (2, 0)
"""(iteration, fork)."""


@pytest.fixture(scope="module")
def recording() -> Recording:
    return load(EXAMPLE / "recording")


def candidates(recording: Recording) -> dict[tuple[int, int], str]:
    """Sources of all forks by (iteration, fork), and of the answers as fork -1."""
    found: dict[tuple[int, int], str] = {}
    for number, iteration in enumerate(recording.iterations, 1):
        for index, (_, text) in enumerate(iteration.forks):
            found[number, index] = extract(text, in_fence=True).source or ""
        found[number, -1] = extract(iteration.answer or "").source or ""
    return found


def test_sizes(recording: Recording) -> None:
    assert len(recording.iterations) == 3
    for iteration in recording.iterations:
        assert 1500 <= len(encode(iteration.reasoning)) <= 3000, "tokens of reasoning"
        assert 2 <= len(iteration.forks) <= 4
        first = iteration.forks[0][0]
        assert first <= len(iteration.reasoning) / 4, "early enough to be measured meanwhile"
        assert all(len(encode(text)) <= 900 for _, text in iteration.forks)


def test_forks_stand_where_code_ends_or_is_announced(recording: Recording) -> None:
    for iteration in recording.iterations:
        for depth, text in iteration.forks:
            announced = iteration.reasoning[:depth].endswith(":")
            assert announced or re.match(r"[^\n]{0,3}[;}]?\s*\}\n", iteration.reasoning[depth:])
            assert fork_text(iteration, depth) == fork_text(iteration, depth + 3) == text


def test_every_candidate_is_complete_and_all_but_one_differ(recording: Recording) -> None:
    found = candidates(recording)
    assert all(found.values())
    digests = {key: source_digest(source) for key, source in found.items()}
    repeated = [key for key in digests if list(digests.values()).count(digests[key]) > 1]
    assert {number for number, _ in repeated} == {1, 2, 3}, "each answer repeats its iteration's last fork"
    assert len(set(digests.values())) == 9


def build(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile the C++ of a candidate the way it asks for."""
    [code] = re.findall(r'source = r"""\n(.*?)"""', source, re.DOTALL)
    [flags] = re.findall(r"extra_cflags=\[(.*?)\]", source)
    (folder / "kernel.cpp").write_text(code)
    arguments = ["g++", *re.findall(r'"(.*?)"', flags), "-shared", "-fPIC", "kernel.cpp", "-o", "kernel.so"]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=120)


def module(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_candidates_are_right_wrong_or_broken_as_intended(recording: Recording, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    task = module(EXAMPLE / "task.py", "bundled_task")
    torch.manual_seed(3)
    inputs = task.get_inputs()
    exact = task.Model(*task.get_init_inputs())(*(x.double() for x in inputs))
    eager = task.Model(*task.get_init_inputs())(*inputs)
    scale = 1.0 / task.get_init_inputs()[0] ** 2

    for key, source in candidates(recording).items():
        folder = tmp_path / f"{key[0]}-{key[1]}"
        folder.mkdir()
        built = build(source, folder)
        assert (built.returncode != 0) == (key == FAILS_TO_COMPILE), built.stderr
        if built.returncode:
            continue
        out = torch.full((task.n_queries,), float("nan"))
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in (*inputs, out)]
        sizes = (task.n_queries, task.n_points, task.n_features)
        ctypes.CDLL(str(folder / "kernel.so")).smooth(*pointers, *sizes, ctypes.c_float(scale))
        ratio = (out - exact).norm() / (eager - exact).norm()
        assert (ratio > 1000) if key == WRONG else (ratio < 8), (key, ratio)
