"""Tasks and kernels for a GPU, the CUDA ones in one source, so that it is compiled once."""
from __future__ import annotations

_TASK = '''
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, {arguments}):
        return {result}


def get_inputs():
    return [{inputs}]


def get_init_inputs():
    return []
'''

ADD_TASK = _TASK.format(
    arguments="x, g", result="torch.softmax(x, dim=-1) * torch.sigmoid(g)",
    inputs="torch.randn(8192, 2048), torch.randn(8192, 2048)",
)
LARGE_TASK = ADD_TASK.replace("8192", "262144")
_CONVOLUTION = '''
import torch
import torch.nn as nn


class {name}(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(128, 128, 3, groups=128, bias=False)

    def forward(self, x):
        return self.convolution(x){factor}


def get_inputs():
    return [torch.rand(64, 128, 256, 512)]


def get_init_inputs():
    return []
'''
HUGE_TASK, HUGE_RIGHT, HUGE_WRONG = (
    _CONVOLUTION.format(name=name, factor=factor)
    for name, factor in (("Model", ""), ("ModelNew", ""), ("ModelNew", ".mul_(1.001)"))
)
"""4 GiB of inputs and as many of outputs: with what a comparison needs, most of an 80 GiB device."""
MATMUL_TASK = _TASK.format(
    arguments="a, b", result="a @ b", inputs="torch.randn(512, 512), torch.randn(512, 512)",
)

PRODUCTS = '''
import torch
import torch.nn as nn


class {name}(nn.Module):
    """The same product as often as it says; of the last a few rows, so that next to nothing is written."""

    def forward(self, a, b):
        for _ in range({times}):
            product = a @ b
        return product[:8]


def get_inputs():
    return [torch.randn({width}, {width}, dtype=torch.bfloat16) for _ in range(2)]


def get_init_inputs():
    return []
'''

_MODEL = '''

class ModelNew(nn.Module):
    def forward(self, {arguments}):
{body}
'''

_TRITON_HEAD = '''
import torch
import torch.nn as nn
import triton
import triton.language as tl
'''

_TRITON_ROWS = _TRITON_HEAD + '''

@triton.jit
def rows(x_ptr, g_ptr, y_ptr, cols, FACTOR: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    mask = at < cols
    start = tl.program_id(0) * cols
    x = tl.load(x_ptr + start + at, mask=mask, other=-float("inf"))
    g = tl.load(g_ptr + start + at, mask=mask, other=0.0)
    e = tl.exp(x - tl.max(x, 0))
    tl.store(y_ptr + start + at, FACTOR * e / tl.sum(e, 0) * tl.sigmoid(g), mask=mask)
'''

_LAUNCH = '''        x, g = x.contiguous(), g.contiguous()
        y = torch.empty_like(x)
        cols = x.shape[-1]
        rows[(x.numel() // cols,)](x, g, y, cols, FACTOR={factor}, BLOCK=triton.next_power_of_2(cols), num_warps=8)
        return y'''

TRITON = _TRITON_ROWS + _MODEL.format(arguments="x, g", body=_LAUNCH.format(factor="1.0"))
FORESEEN = _TRITON_ROWS + """
found = []
triton.knobs.compilation.listener = lambda *, cache_hit, **_: found.append(cache_hit)
""" + _MODEL.format(arguments="x, g", body=_LAUNCH.format(factor="1.0").replace(
    "        return y", "        assert found and all(found), 'compiled with a device at hand'\n        return y"
))
AUTOTUNED = _TRITON_ROWS.replace("@triton.jit", """
import os, pathlib
before = list(pathlib.Path(os.environ["TRITON_CACHE_DIR"]).rglob("*.autotune.json"))
measured = []


def measure(call, quantiles):
    measured.append(call)
    call()
    return [1.0, 1.0, 1.0]


@triton.autotune([triton.Config({}, num_warps=warps) for warps in (4, 8)], key=["cols"], do_bench=measure)
@triton.jit""") + _MODEL.format(arguments="x, g", body=_LAUNCH.format(factor="1.0").replace(
    ", num_warps=8", ""
).replace(
    "        return y",
    """        if before:
            raise RuntimeError(f"measured before, and {len(measured)} times here")
        return y""",
))
"""Its second process says what it found, and how often it measured a configuration itself."""
AHEAD = """
import os, pathlib, sys
import triton.runtime.cache
assert list(pathlib.Path(os.environ["TRITON_CACHE_DIR"]).rglob("cuda_utils*")), "the driver's module is not there"
assert triton.runtime.cache.triton_key.cache_info().currsize, "Triton's files are not read"
assert "torch._dynamo" in sys.modules, "what traces is not imported"
""" + TRITON
WRONG = _TRITON_ROWS + _MODEL.format(arguments="x, g", body=_LAUNCH.format(factor="1.001"))

EAGER = "import torch\nimport torch.nn as nn\n" + _MODEL.format(
    arguments="x, g", body="        return torch.softmax(x, dim=-1) * torch.sigmoid(g)",
)

SIDE_STREAM = "import torch\nimport torch.nn as nn\n" + _MODEL.format(arguments="x, g", body='''
        y = torch.softmax(x, dim=-1) * torch.sigmoid(g)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(20):
                torch.softmax(x, dim=-1)
        return y''')

TF32 = _TRITON_HEAD + '''

@triton.jit
def product(a_ptr, b_ptr, c_ptr, M, N, K, am, ak, bk, bn, TILE: tl.constexpr):
    m = tl.program_id(0) * TILE + tl.arange(0, TILE)
    n = tl.program_id(1) * TILE + tl.arange(0, TILE)
    k = tl.arange(0, 32)
    total = tl.zeros((TILE, TILE), dtype=tl.float32)
    for start in range(0, K, 32):
        at = start + k
        a_mask, b_mask = (m[:, None] < M) & (at[None, :] < K), (at[:, None] < K) & (n[None, :] < N)
        a = tl.load(a_ptr + m[:, None] * am + at[None, :] * ak, mask=a_mask, other=0.0)
        b = tl.load(b_ptr + at[:, None] * bk + n[None, :] * bn, mask=b_mask, other=0.0)
        total += tl.dot(a, b)
    tl.store(c_ptr + m[:, None] * N + n[None, :], total, mask=(m[:, None] < M) & (n[None, :] < N))
''' + _MODEL.format(arguments="a, b", body='''
        (M, K), N = a.shape, b.shape[1]
        c = torch.empty((M, N), device=a.device)
        grid = (triton.cdiv(M, 64), triton.cdiv(N, 64))
        product[grid](a, b, c, M, N, K, a.stride(0), a.stride(1), b.stride(0), b.stride(1), TILE=64)
        return c''')

_CUDA_CODE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
__device__ float reduce(float v, bool largest, float* shared) {
  for (int o = 16; o; o >>= 1) {
    float w = __shfl_xor_sync(~0u, v, o);
    v = largest ? fmaxf(v, w) : v + w;
  }
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = v;
  __syncthreads();
  v = shared[0];
  for (int i = 1; i < blockDim.x / 32; ++i) v = largest ? fmaxf(v, shared[i]) : v + shared[i];
  __syncthreads();
  return v;
}
__global__ void rows_kernel(const float* x, const float* g, float* y, int cols) {
  __shared__ float shared[32];
  x += (size_t)blockIdx.x * cols;
  g += (size_t)blockIdx.x * cols;
  y += (size_t)blockIdx.x * cols;
  float m = -INFINITY, s = 0;
  for (int i = threadIdx.x; i < cols; i += blockDim.x) m = fmaxf(m, x[i]);
  m = reduce(m, true, shared);
  for (int i = threadIdx.x; i < cols; i += blockDim.x) s += expf(x[i] - m);
  s = reduce(s, false, shared);
  for (int i = threadIdx.x; i < cols; i += blockDim.x) y[i] = expf(x[i] - m) / s / (1.0f + expf(-g[i]));
}
__global__ void beyond_kernel(float* y) { y[(size_t)1 << 44] = 1.0f; }
__global__ void endless_kernel(volatile float* y) { while (y[0] == y[0] || y[0] != y[0]) {} }
torch::Tensor rows(torch::Tensor x, torch::Tensor g) {
  x = x.contiguous(); g = g.contiguous();
  auto y = torch::empty_like(x);
  int cols = x.size(-1);
  rows_kernel<<<x.numel() / cols, 256, 0, c10::cuda::getCurrentCUDAStream()>>>(
      x.data_ptr<float>(), g.data_ptr<float>(), y.data_ptr<float>(), cols);
  return y;
}
torch::Tensor beyond(torch::Tensor x, torch::Tensor g) {
  auto y = rows(x, g);
  beyond_kernel<<<1, 1>>>(y.data_ptr<float>());
  return y;
}
torch::Tensor endless(torch::Tensor x, torch::Tensor g) {
  auto y = rows(x, g);
  endless_kernel<<<1, 1>>>(y.data_ptr<float>());
  return y;
}
"""

_CUDA_HEAD = f'''
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

_SIGNATURE = "torch::Tensor {{}}(torch::Tensor x, torch::Tensor g);"
_NAMES = ["rows", "beyond", "endless"]
ext = load_inline(name="rows_ext", cpp_sources="".join(map(_SIGNATURE.format, _NAMES)), cuda_sources={_CUDA_CODE!r},
                  functions=_NAMES)
'''


def _calls(name: str) -> str:
    return _CUDA_HEAD + _MODEL.format(arguments="x, g", body=f"        return ext.{name}(x, g)")


CUDA, OUT_OF_BOUNDS, ENDLESS = (_calls(name) for name in ("rows", "beyond", "endless"))
