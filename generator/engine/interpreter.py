"""Where vLLM is installed."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import generator
from common.errors import UsageError

_ENVIRONMENT = ".venv-engine/bin/python"
_HAS_VLLM = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
_DEVICE = Path("/dev/nvidiactl")


def find(named: str) -> str:
    """An interpreter that has vLLM: the named one, this one, or that of `make engine`. UsageError without one."""
    candidates = [named] if named else [sys.executable, *_made()]
    for candidate in candidates:
        if has_vllm(candidate):
            return os.path.abspath(candidate)
    where = f"{named} has no vLLM" if named else "vLLM is not installed"
    raise UsageError(
        f"{where}: run `make engine` on a host without a GPU, `pip install -r requirements/gpu.txt` on one with, "
        "or name an interpreter that has it with SPECGEN_ENGINE_PYTHON"
    )


def has_vllm(interpreter: str) -> bool:
    """Whether it could import vLLM; False where there is no such interpreter."""
    if not os.access(interpreter, os.X_OK):
        return False
    return subprocess.run([interpreter, "-P", "-c", _HAS_VLLM], capture_output=True).returncode == 0


def on_cpu(kind: str) -> bool:
    return kind == "cpu" or (kind == "auto" and not _DEVICE.exists())


def _made() -> Sequence[str]:
    """Beside the project's sources, or in the working directory."""
    sources = Path(generator.__file__).parents[1]
    return [str(folder / _ENVIRONMENT) for folder in dict.fromkeys((sources, Path.cwd()))]
