"""What every process of a candidate would do whatever its kernels, done once before any is forked. No context is made
here: a fork could not use it."""
from __future__ import annotations

import importlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

from common.judge.child import kernels

triton_files: dict[str, bytes] = {}
"""Of Triton's cache: the module by which it talks to the driver."""


def prepare() -> None:
    """Nothing to do where torch is built for CPUs."""
    if torch.version.cuda:
        triton_files.update(_compile_triton_driver())
        _hash_triton()
        _imported("triton.experimental.gluon")  # by a process's first launch
        _imported("torch._dynamo")  # by calls on tensors without values (`foresee.py`); takes seconds


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


def _hash_triton() -> None:
    """A process's first launch reads all of Triton's own files, for the keys of its cache: more than a second."""
    for name in ("triton.runtime.cache", "triton.compiler.compiler"):  # the latter until 3.5
        if key := getattr(_imported(name), "triton_key", None):
            key()
            return


def _imported(name: str) -> Any:
    """None where it cannot be: the first process that wants it says so."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name} is not imported ahead: {error}")
        return None
