"""Every recording under examples/ plays, forks where the trigger may, and its kernels are what they are meant to be."""
from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.task import read_task
from generator.digest import source_digest
from generator.extract import extract
from generator.replay.recording import Recording, load
from generator.replay.script import fork_text
from generator.replay.tokens import encode
from trigger.parse import Parser

EXAMPLES = Path(__file__).parents[2] / "examples"
MEANT = {
    "gated_rms_norm/recording": ("wrong_values", "passed", "passed"),
    "low_rank_update/recording": ("wrong_values", "passed", "passed"),
    "gated_rms_norm/recording-cuda": ("wrong_values", "passed", "passed"),
    "low_rank_update/recording-cuda": ("precision_downgrade", "passed", "passed"),
    "cauchy_smoother/recording-cuda": ("wrong_values", "passed", "passed"),
}
"""Outcomes of the forks in order of depth, then of the answer."""
CPU = [name for name in MEANT if not name.endswith("cuda")]
CUDA = [name for name in MEANT if name.endswith("cuda")]
BEFORE_END = 40
"""Characters by which a recorded fork may stand before the place where its code is seen to be complete."""


def task_of(name: str) -> Path:
    example = EXAMPLES / name.split("/")[0]
    return example / (f"{example.name}_large.py" if name.endswith("cuda") else "task.py")


def recording(name: str) -> Recording:
    return load(EXAMPLES / name)


def kernels(name: str) -> list[str]:
    [iteration] = recording(name).iterations
    forks = [extract(text, in_fence=True).source or "" for _, text in iteration.forks]
    return [*forks, extract(iteration.answer or "").source or ""]


@pytest.mark.parametrize("name", MEANT)
def test_a_recording_is_one_iteration_of_a_readable_task(name: str) -> None:
    [iteration] = recording(name).iterations
    assert read_task(task_of(name)).name.startswith(name.split("/")[0])
    assert 1200 <= len(encode(iteration.reasoning)) <= 2000, "tokens of reasoning"
    sources = kernels(name)
    assert len(sources) == len(MEANT[name]) and all(sources)
    assert len({source_digest(source) for source in sources[:-1]}) == len(sources) - 1


@pytest.mark.parametrize("name", MEANT)
def test_every_fork_stands_just_before_a_kernel_is_complete(name: str) -> None:
    """So a trigger that forks there gets it, and one that forks earlier does not."""
    [iteration] = recording(name).iterations
    parser = Parser()
    signals = [*parser.feed(iteration.reasoning), *parser.close()]
    ends = [signal.end for signal in signals if signal.kind == "kernel_completed"]
    for depth, text in iteration.forks:
        assert any(depth <= end <= depth + BEFORE_END for end in ends), (depth, ends)
        assert fork_text(iteration, depth) == text != fork_text(iteration, depth - 1)


@pytest.mark.parametrize("name", CUDA)
def test_a_large_task_is_the_same_with_other_numbers(name: str) -> None:
    def shape(path: Path) -> str:
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                node.value.value = 0
        return ast.dump(tree)

    assert shape(task_of(name)) == shape(EXAMPLES / name.split("/")[0] / "task.py")


@pytest.mark.parametrize("name", CUDA)
def test_triton_products_name_their_precision_but_for_the_meant_mistake(name: str) -> None:
    for source, outcome in zip(kernels(name), MEANT[name], strict=True):
        dots = [node for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "tl.dot"]
        named = all('input_precision="ieee"' in ast.unparse(dot).replace("'", '"') for dot in dots)
        assert named == (outcome != "precision_downgrade")


def judged(name: str, index: int, folder: Path, *options: str) -> tuple[str, float | None]:
    """Outcome and speedup by `specgen check`."""
    kernel = folder / f"{index}.py"
    kernel.write_text(kernels(name)[index])
    command = [sys.executable, "-m", "common.cli", "check", str(task_of(name)), str(kernel), "--json", *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert ran.stdout, ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    last = found["profile"] or found["verdict"]
    return last["outcome"], (last.get("measurement") or {}).get("speedup")


@pytest.mark.soak
@pytest.mark.parametrize("name", CPU)
def test_every_kernel_on_this_cpu(name: str, tmp_path: Path) -> None:
    check_all(name, tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no GPU")
@pytest.mark.parametrize("name", CUDA)
def test_every_kernel_on_this_gpu(name: str, tmp_path: Path) -> None:
    check_all(name, tmp_path, "--device", "cuda")


def check_all(name: str, folder: Path, *options: str) -> None:
    """Outcomes as meant; the kernels that pass beat eager."""
    for index, meant in enumerate(MEANT[name]):
        outcome, speedup = judged(name, index, folder, *options)
        assert outcome == meant, (name, index)
        assert outcome != "passed" or (speedup is not None and speedup > 1.0), (name, index, speedup)
