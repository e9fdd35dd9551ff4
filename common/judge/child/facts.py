"""What the compiler needs to know of this Python and torch, and first uses that every spare would pay for."""
from __future__ import annotations

import sys
import sysconfig

import torch
from torch.utils import cpp_extension

from common.judge.protocol import Facts


def collect() -> Facts:
    """Include and library folders as `torch.utils.cpp_extension` would use them."""
    python = sysconfig.get_path("include", scheme="posix_prefix")
    home = cpp_extension.CUDA_HOME or ""
    return Facts(
        python=sys.version.split()[0],
        torch=str(torch.__version__),
        cuda=torch.version.cuda or "",
        triton=_triton(),
        extension_suffix=".so",
        includes=(*cpp_extension.include_paths("cpu"), python),
        cuda_includes=(*cpp_extension.include_paths("cuda"), python) if home else (),
        libraries=tuple(cpp_extension.library_paths("cpu")),
        cuda_libraries=tuple(cpp_extension.library_paths("cuda")) if home else (),
        cuda_home=home,
        nvcc_flags=tuple(cpp_extension.COMMON_NVCC_FLAGS),
    )


def _triton() -> str:
    try:
        import triton  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - where it is missing no candidate can use it, and nothing else changes
    except ImportError:
        return ""
    return str(triton.__version__)


def warm_up() -> None:
    """Pay for torch's lazy parts before the first fork, in one thread: a fork keeps no other."""
    torch.set_num_threads(1)
    layer = torch.nn.Linear(4, 4)
    with torch.no_grad():
        torch.softmax(layer(torch.randn(2, 4)), -1).sum().item()
