"""The task format: a KernelBench-style Python file with `Model`, `get_inputs()` and `get_init_inputs()`.

Checked by its syntax tree alone, so that reading a task runs none of its code and needs no torch.
"""
from __future__ import annotations

import ast
import re
from pathlib import Path

from common.errors import UsageError
from common.messages.campaign import TaskSource

PRECISIONS = ("fp32", "tf32", "bf16")
MAX_BYTES = 256 * 1024


def read_task(path: Path, *, precision: str = "fp32", allow_library: bool = False) -> TaskSource:
    """The task in a file. UsageError, one line that says what to do, where it is not one."""
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not known: use one of {', '.join(PRECISIONS)}")
    source = read_source(path)
    if problem := task_problem(source):
        raise UsageError(f"{path}: {problem}")
    return TaskSource(name=task_name(path), source=source, precision=precision, allow_library=allow_library)


def read_source(path: Path) -> str:
    """A Python file of at most 256 KiB, as text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} has {len(data)} bytes; at most {MAX_BYTES} travel with a job")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None


def task_problem(source: str) -> str | None:
    """What keeps `source` from being a task, or None."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return f"not valid Python{f', line {line}' if line else ''}: {getattr(error, 'msg', error)}"
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if "Model" not in classes:
        return "no class Model: a task defines `class Model(nn.Module)` with a forward method"
    if not any(isinstance(node, ast.FunctionDef) and node.name == "forward" for node in classes["Model"].body):
        return "class Model has no forward method"
    if "get_inputs" not in functions:
        return "no function get_inputs(): it returns the list of forward's inputs"
    if "get_init_inputs" not in functions:
        return "no function get_init_inputs(): it returns the list of Model's constructor arguments, maybe []"
    return None


def task_name(path: Path) -> str:
    """The file's name, or its folder's where the file is just `task.py`, safe for a subject."""
    stem = path.resolve().parent.name if path.stem == "task" else path.stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:40] or "task"
