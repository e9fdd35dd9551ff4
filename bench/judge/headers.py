"""What the lean headers save a CUDA source: `python -m bench.judge.headers [--rounds N]`, on a host with nvcc.

One source that calls a kernel is compiled with each set of headers in turn: torch's whole `torch/extension.h`, the lean
one (`common/judge/build/headers.py`), and the narrow ones for sources that call kernels and nothing else (`narrow.py`).
Prints JSON: seconds of each, by round, and how many times as long as the last the others took (median of the rounds).
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from common.judge.build import commands, headers
from common.judge.build.narrow import NARROW
from common.judge.build.toolchain import Toolchain
from common.judge.child import facts
from common.judge.protocol import Extension, Facts

SOURCE = """#include <torch/types.h>
#include <cuda.h>
#include <cuda_runtime.h>
#include <torch/extension.h>

__global__ void scaled(const float* x, float* out, float factor, int64_t size) {
  int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
  if (i < size) out[i] = factor * x[i];
}

torch::Tensor scale(torch::Tensor x, double factor) {
  TORCH_CHECK(x.is_cuda() && x.is_contiguous(), "a contiguous tensor on a GPU");
  auto out = torch::empty_like(x);
  int threads = 256, blocks = (x.numel() + threads - 1) / threads;
  scaled<<<blocks, threads>>>(x.data_ptr<float>(), out.data_ptr<float>(), (float)factor, x.numel());
  return out;
}
"""
SETS: dict[str, dict[str, str]] = {"whole": {}, "lean": {"torch/extension.h": headers.LEAN}, "narrow": NARROW}


def seconds(tools: Toolchain, name: str, folder: Path) -> float:
    """Of one compilation. CalledProcessError where nvcc fails."""
    (folder / "cuda.cu").write_text(SOURCE)
    place = folder / name
    headers.write(place, SETS[name])
    asked = Extension(name="scale", files={}, sources=(), with_cuda=True)
    words = commands.compile_cuda(tools, asked, "cuda.cu", f"{name}.o", place if SETS[name] else None)
    began = time.monotonic()
    subprocess.run(words, cwd=folder, check=True, stdout=sys.stderr)
    return time.monotonic() - began


def found() -> Facts:
    """A torch that was built without CUDA does not look for nvcc; its headers for tensors are the same."""
    known, home = facts.collect(), os.environ.get("CUDA_HOME", "")
    if known.cuda_home or not home:
        return known
    return msgspec.structs.replace(known, cuda_home=home, cuda_includes=(*known.includes, f"{home}/include"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.judge.headers", description="Seconds of nvcc, by headers.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tools = Toolchain(found(), "cuda")
    if not tools.nvcc:
        print("headers: no nvcc: set CUDA_HOME to CUDA's folder", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        rounds = [{name: seconds(tools, name, Path(folder)) for name in SETS} for _ in range(options.rounds)]
    longer = {name: round(statistics.median(one[name] / one["narrow"] for one in rounds), 2) for name in SETS}
    print(json.dumps({"torch": tools.facts.torch, "rounds": rounds, "times_as_long": longer}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
