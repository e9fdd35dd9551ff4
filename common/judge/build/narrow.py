"""Headers for CUDA sources that call kernels and nothing else, which most do, and for C++ that binds them to Python.

nvcc reads a source and all that it includes three times, one after the other, and none of it can be precompiled: only a
host compiler takes a precompiled header. So these have tensors with their methods, the factories that kernels make
their outputs with, the dispatch macros and the types' names; no other functions, no autograd, and Python for C++ alone.
They stand before torch's own of the same names, in torch's other headers too.
"""
from __future__ import annotations

import re

_FACTORIES = ("empty", "empty_like", "empty_strided", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like")
_TYPES = {
    "UInt8": "Byte", "Int8": "Char", "Int16": "Short", "Int32": "Int", "Int64": "Long", "Float16": "Half",
    "Float32": "Float", "Float64": "Double",
}

NARROW = {
    "torch/extension.h": """#pragma once
#include <torch/types.h>
#ifndef __CUDACC__
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>
#endif
""",
    "torch/types.h": "\n".join((
        "#pragma once",
        "#include <ATen/ATen.h>",
        "namespace torch {",
        "using namespace at;",
        "using std::nullopt;",
        "using std::optional;",
        "using Dtype = at::ScalarType;",
        *(f"constexpr auto k{name} = at::k{known};" for name, known in _TYPES.items()),
        "}",
        "",
    )),
    "ATen/ATen.h": "\n".join((
        "#pragma once",
        "#ifndef AT_PER_OPERATOR_HEADERS",
        "#define AT_PER_OPERATOR_HEADERS",
        "#endif",
        "#include <ATen/Context.h>",
        "#include <ATen/DeviceGuard.h>",
        "#include <ATen/Dispatch.h>",
        "#include <ATen/TensorOperators.h>",
        "#include <ATen/core/DeprecatedTypeProperties.h>",
        "#include <ATen/core/Tensor.h>",
        *(f"#include <ATen/ops/{name}.h>" for name in _FACTORIES),
        "",
    )),
    # Torch's own has it for lists too, and with them all that an interpreter's value may be.
    "ATen/DeviceGuard.h": """#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
namespace at {
inline std::optional<Device> device_of(const Tensor& tensor) {
  return tensor.defined() ? std::optional<Device>(tensor.device()) : std::nullopt;
}
}
""",
    "ATen/TensorUtils.h": "#pragma once\n",
}
_NEEDS_MORE = re.compile(
    r"\bpy::|TORCH_LIBRARY|requires_grad|\b(?:torch|at)::(?:autograd|nn|jit|optim|data|native|tensor)\b"
)
"""A factory of `at` drops `requires_grad`, which one of `torch` obeys."""
_BINDS = re.compile(r"pybind11|PYBIND11_")


def calls_kernels_alone(source: str) -> bool:
    """Whether `NARROW` may be enough for a CUDA source. Where it is not after all, the compiler refuses the source."""
    return binds_alone(source) and not _BINDS.search(source)


def binds_alone(source: str) -> bool:
    """The same of a C++ source."""
    return not _NEEDS_MORE.search(source)
