"""The task of these tests and candidates for it. Those in C++ share one source, so that it is compiled once."""
from __future__ import annotations

TASK = '''
import torch
import torch.nn as nn


class Model(nn.Module):
    """A gate with three passes over a large tensor."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features))

    def forward(self, x):
        return torch.relu(x * self.weight + 0.5) * 2.0 - x


rows = 512
features = 768


def get_inputs():
    return [torch.randn(rows, features)]


def get_init_inputs():
    return [features]
'''

CPP = '''
torch::Tensor gate(torch::Tensor x, torch::Tensor w) {
  x = x.contiguous();
  auto y = torch::empty_like(x);
  const float* a = x.data_ptr<float>();
  const float* b = w.data_ptr<float>();
  float* c = y.data_ptr<float>();
  const int64_t n = x.size(-1), m = x.numel() / n;
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      const float v = a[i * n + j], u = v * b[j] + 0.5f;
      c[i * n + j] = (u > 0 ? u : 0) * 2.0f - v;
    }
  return y;
}
torch::Tensor crash(torch::Tensor x, torch::Tensor w) {
  *(volatile int*)nullptr = 1;
  return x;
}
torch::Tensor misses_tail(torch::Tensor x, torch::Tensor w) {
  auto y = gate(x, w);
  y.view(-1).slice(0, y.numel() - 3).zero_();
  return y;
}
'''

HEAD = f'''
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

ext = load_inline(name="gate_ext", cpp_sources={CPP!r}, functions=["gate", "crash", "misses_tail"],
                  extra_cflags=["-O3", "-march=native", "-fopenmp"])
'''


def candidate(forward: str, *, head: str = "import torch\nimport torch.nn as nn\n", init: str = "pass") -> str:
    """A ModelNew with the task's weight and this body of `forward(self, x)`."""
    body = "\n".join(f"        {line}" for line in forward.strip().splitlines())
    return f'''{head}

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features))
        {init}

    def forward(self, x):
{body}
'''


HONEST = candidate("return ext.gate(x, self.weight)", head=HEAD)
EAGER = candidate("return torch.relu(x * self.weight + 0.5) * 2.0 - x")
