"""Whose kernels did the work: from a trace as torch writes it to the label."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.judge.attribution import bare, is_library_only, own_share, words_of
from common.judge.child.trace import read
from common.judge.protocol import Kernel

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
SOURCE = """
# replaces at::native::copy
@triton.jit
def softmax_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    pass
cuda = "__global__ void gate(const float* x) {}  // vectorized_add stays away"
"""
PRODUCT = "nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT"


def kernel(name: str, microseconds: float) -> Kernel:
    return Kernel(name=name, seconds=1e-6 * microseconds)


@pytest.mark.parametrize(
    ("full", "name"),
    [
        ("softmax_kernel", "softmax_kernel"),
        ("void gate<float, 4>(float const*, float*)", "gate"),
        ("void (anonymous namespace)::gate(float const*)", "gate"),
        ("ns::inner::gate(int)", "gate"),
        ("void at::native::vectorized_kernel<4, at::native::FillFunctor<float>>(int)", "vectorized_kernel"),
    ],
)
def test_bare_names(full: str, name: str) -> None:
    assert bare(full) == name


@pytest.mark.parametrize(
    ("kernels", "only"),
    [
        ([kernel("softmax_kernel", 50)], False),
        ([kernel("void gate<float>(float const*)", 50), kernel(PRODUCT, 400)], False),
        ([kernel(PRODUCT, 400)], True),
        ([kernel("softmax_kernel", 1.9), kernel(PRODUCT, 20)], True),
        ([kernel("softmax_kernel", 1.5)], False),
        ([kernel(PRODUCT, 1.5)], True),
        ([kernel("void at::native::copy(int)", 50), kernel("vectorized_add", 50)], True),
    ],
    ids=["own", "own epilogue", "library", "one value beside a product", "tiny own", "tiny library", "commented"],
)
def test_the_label_follows_the_share_of_the_work(kernels: list[Kernel], only: bool) -> None:
    assert is_library_only(kernels, SOURCE) is only


def test_no_share_where_nothing_took_longer_than_a_launch() -> None:
    assert own_share([kernel("softmax_kernel", 1.0)], SOURCE) is None
    assert own_share([kernel("softmax_kernel", 12.0), kernel(PRODUCT, 32.0)], SOURCE) == pytest.approx(0.25)


def test_a_trace_is_read_as_torch_writes_it() -> None:
    launch = {
        "ph": "X", "cat": "kernel", "name": "gate", "ts": 1.0, "dur": 12.5,
        "args": {"grid": [8, 1, 1], "block": [128, 1, 1], "registers per thread": 24, "shared memory": 1024},
    }
    (found,) = read({"traceEvents": [{"ph": "M", "name": "process_name"}, {"cat": "gpu_memcpy", "dur": 3}, launch]})
    assert (found.name, found.grid, found.block) == ("gate", (8, 1, 1), (128, 1, 1))
    assert (found.registers, found.shared) == (24, 1024)
    assert found.seconds == pytest.approx(12.5e-6)


def test_a_trace_imports_nothing_into_the_candidates_process(tmp_path: Path) -> None:
    """What a first trace imports, every candidate waits for: each has a process of its own."""
    program = """
import sys, torch
from common.judge.child.trace import tracing
x = torch.ones(8)
x + x
before = set(sys.modules)
with tracing(True) as kernels:
    x + x
assert not torch.cuda.is_available() or kernels, "no kernel was seen"
print(*sorted(set(sys.modules) - before))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_words_are_those_outside_of_comments() -> None:
    source = "one /* two */ three // four\n# five\n#define six\nseven /* eight"
    assert words_of(source) == {"one", "three", "define", "six", "seven", "eight"}


def test_comments_that_never_end_are_passed_over_at_once() -> None:
    """A square of their number would be hours."""
    assert words_of("/* a " * 2_000_000) == {"a"}
