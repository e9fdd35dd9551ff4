"""Triton's kernels are compiled before there is a device, for the shapes of the task's cases."""
from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from common.judge.build.store import Store
from common.judge.check import load_task
from common.judge.child.foresee import foresee, shapes
from common.judge.lane.kernels import Kernels
from common.judge.protocol import Foresee
from tests.kernels.corpus import task_source

_SOFTMAX = task_source("softmax")
_SOURCE = '''
import torch, triton, triton.language as tl

@triton.autotune(
    [triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128}, num_warps=2)], key=["n"], cache_results=True,
)
@triton.jit
def twice(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n), mask=at < n)

class ModelNew(torch.nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(8))

    def forward(self, x):
        assert x.is_cuda and self.weight.is_cuda
        y = torch.empty_like(x)
        twice[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, y, x.numel())
        return y if y.sum() > 0 else x
'''
_PROGRAM = '''
import json, sys
from pathlib import Path
import torch
torch.cuda.is_available = lambda: True  # as NVML tells processes that are kept from the devices
from common.judge.child.foresee import foresee
from common.judge.child.module import load_module
from common.judge.protocol import Foresee
order = Foresee(task=Path(sys.argv[1]).read_text(), capability=90, seconds=100.0)
found = foresee(load_module(Path(sys.argv[2]).read_text()), order)
print(json.dumps({"launches": found.launches, "missed": found.missed}))
'''


def test_a_tasks_own_shape_is_the_first() -> None:
    own, *others = shapes(load_task(_SOFTMAX))
    assert own.name == "own" and others[-1].layout != "own"
    assert {case.layout for case in others} == {"own", "sliced", "strided"}
    assert {case.name for case in others} > {"fewer-rows", "more-rows"}


def test_of_a_source_without_a_kernel_nothing_is_compiled() -> None:
    found = foresee(ModuleType("candidate"), Foresee(task=_SOFTMAX, capability=90, seconds=10.0))
    assert (found.launches, found.missed) == (0, ())


def test_what_the_process_that_passed_compiled_is_preferred(tmp_path: Path) -> None:
    kept = Kernels(Store(tmp_path, 16))
    kept.keep("abc", {"foreseen": b""}, passed=False)
    assert kept.find("abc") == {"foreseen": b""}
    kept.keep("abc", {"launched": b""}, passed=True)
    assert kept.find("abc") == {"launched": b""}


needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs Triton, which comes with torch for a GPU"
)


def _found(folder: Path, source: str) -> dict[str, Any]:
    (folder / "task.py").write_text(_SOFTMAX)
    (folder / "source.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "task.py", "source.py"], capture_output=True, text=True, timeout=200,
        cwd=folder, env=os.environ | {"TRITON_CACHE_DIR": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": "",
                                      "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_triton
def test_every_configuration_is_compiled_without_a_device(tmp_path: Path) -> None:
    found = _found(tmp_path, _SOURCE)
    cases = shapes(load_task(_SOFTMAX))
    tuned = sum(case.layout == "own" for case in cases)
    assert found["launches"] == len(cases) + 2 * tuned, "both configurations once, and the one that is chosen"
    assert len(found["missed"]) == len(cases) and "DataDependent" in found["missed"][0], "the branch on a value"
    compiled = list((tmp_path / "cache").rglob("*.cubin"))
    assert len(compiled) >= 2
    assert not list((tmp_path / "cache").rglob("*.autotune.json")), "nothing was measured"


@needs_triton
def test_what_fails_on_the_tasks_own_shapes_is_compiled_for_no_others(tmp_path: Path) -> None:
    found = _found(tmp_path, _SOURCE.replace("2 * tl.load", "2 * tl.no_such_load"))
    (missed,) = found["missed"]
    assert "no_such_load" in missed
