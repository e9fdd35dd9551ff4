"""What every process of a GPU's would do at its first kernel, done once before any is forked. No context is made here:
a fork could not use it."""
from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path

import torch

from common.judge.child import kernels

_MAPS = Path("/proc/self/maps")
triton_files: dict[str, bytes] = {}
"""Of Triton's cache: the module by which it talks to the driver, compiled by gcc and the same for every kernel."""


def prepare() -> None:
    """Nothing to do where torch is built for CPUs."""
    if torch.version.cuda:
        _load_cudnn()
        triton_files.update(_compile_triton_driver())


def _load_cudnn() -> None:
    """The libraries that cuDNN opens at a first convolution: hundreds of MiB to map and relocate."""
    mapped = (line.split(maxsplit=5)[-1] for line in _MAPS.read_text().splitlines() if "/libcudnn.so" in line)
    for folder in {Path(path).parent for path in mapped}:
        for library in sorted(folder.glob("libcudnn_*.so.*")):
            ctypes.CDLL(str(library))


def _compile_triton_driver() -> dict[str, bytes]:
    """Nothing without Triton, a compiler or a driver: the first process that wants one of them says so."""
    before = os.environ.get("TRITON_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        try:
            from triton.backends.nvidia.driver import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - see facts
                CudaUtils,
            )
            CudaUtils()
        except (ImportError, OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
            print(f"Triton's driver module is not compiled ahead: {error}")
        finally:
            os.environ.pop("TRITON_CACHE_DIR")
            if before is not None:
                os.environ["TRITON_CACHE_DIR"] = before
        return kernels.collect(Path(folder))
