"""What Triton would compile in every process whatever its kernels, compiled once before any is forked. No context is
made here: a fork could not use it."""
from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import torch

from common.judge.child import kernels

triton_files: dict[str, bytes] = {}
"""Of Triton's cache: the module by which it talks to the driver."""


def prepare() -> None:
    """Nothing to do where torch is built for CPUs."""
    if torch.version.cuda:
        triton_files.update(_compile_triton_driver())


def _compile_triton_driver() -> dict[str, bytes]:
    """Nothing without Triton, a compiler or a driver: the first process that wants one of them says so."""
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
            del os.environ["TRITON_CACHE_DIR"]
        return kernels.collect(Path(folder))
