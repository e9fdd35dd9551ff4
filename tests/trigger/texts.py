"""Reasoning written for the trigger's tests."""
from __future__ import annotations

import random

PYTHON = "def scale(x):\n    return 2 * x\n"
CPP = "void add(const float* a, float* b, int n) {\n  for (int i = 0; i < n; ++i) { b[i] += a[i]; }\n}\n"
FENCED = f"```cpp\n{CPP}```\n"


def prose(seed: int, words: int = 130) -> str:
    """Words that say nothing, different for each seed; a text that repeated itself would be taken for a loop."""
    source = random.Random(seed)
    lengths = (source.randint(2, 9) for _ in range(words))
    return " ".join("".join(source.choices("abcdefghijklmnoprstuvw", k=n)) for n in lengths) + "\n"


def kernel(version: int) -> str:
    """A CUDA kernel of forty lines, of which each version changes ten."""
    first = 10 * version
    lines = "".join(f"  float v{i} = x[{i}] * {version if first <= i < first + 10 else 0}.5f;\n" for i in range(40))
    return f"__global__ void scale(const float* x, float* y, int n) {{\n{lines}  y[threadIdx.x] = v3;\n}}\n"


PROSE = prose(1)
