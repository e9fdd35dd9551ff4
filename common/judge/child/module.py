"""Import a candidate's source as a module with a file of its own, so that inspect and Triton find its lines."""
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from common.judge.child import extension

_FILE = "candidate.py"


class NoModel(Exception):
    """The source defines no ModelNew."""


def load_module(source: str) -> ModuleType:
    """Execute the source. Raises whatever it raises, NoModel where ModelNew is missing."""
    path = Path.cwd() / _FILE
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("candidate", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["candidate"] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "ModelNew", None)):
        raise NoModel("the source defines no class ModelNew")
    return module


def owns_code(module: ModuleType) -> bool:
    """Whether a kernel of its own can run at all: an extension was loaded or a Triton kernel defined. To be
    asked once the model is made, which may do either."""
    return defines_triton(module) or extension.loaded() > 0


def defines_triton(module: ModuleType) -> bool:
    """Whether one of its names is a kernel of Triton's, autotuned or not."""
    return any(type(value).__module__.startswith("triton.") for value in vars(module).values())
