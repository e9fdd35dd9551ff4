"""A task as the judge holds it: the module of a KernelBench-style file, executed in the trusted process."""
from __future__ import annotations

import ast
import hashlib
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from common.errors import UsageError
from common.judge.out_of_memory import noted

_NEEDED = ("Model", "get_inputs", "get_init_inputs")


class TaskProblem(UsageError):
    """The file is no task; the message is the reason, one line that says what to do."""


@dataclass(frozen=True)
class TaskModule:
    """An executed task. `constants` are the integers its module level sets (batch sizes, widths, counts)."""

    source: str
    module: ModuleType = field(repr=False)
    constants: Mapping[str, int] = field(repr=False)


def load_task(source: str, *, constants: Mapping[str, int] | None = None) -> TaskModule:
    """Execute a task's source. `constants` replace integers its module level sets, for other shapes.

    Raises TaskProblem where the file does not parse, does not run or lacks one of the three names.
    """
    tree = _parse(source)
    found = _module_integers(tree)
    if constants:
        tree = _with_constants(tree, constants)
    module = _execute(tree, source, constants or {})
    missing = [name for name in _NEEDED if not callable(getattr(module, name, None))]
    if missing:
        raise TaskProblem(
            f"the task defines no {' and no '.join(missing)}: it needs a class Model, get_inputs(), get_init_inputs()"
        )
    return TaskModule(source=source, module=module, constants=found)


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise TaskProblem(f"the task is not Python: line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise TaskProblem(f"the task is not Python: {error}") from None


def _execute(tree: ast.Module, source: str, constants: Mapping[str, int]) -> ModuleType:
    """Run the tree as a module of its own, with its lines known to tracebacks and to inspect."""
    variant = hashlib.sha256(repr((source, sorted(constants.items()))).encode()).hexdigest()[:12]
    module = ModuleType(f"specgen_task_{variant}")
    module.__file__ = filename = f"<task {variant}>"
    text = ast.unparse(tree) if constants else source
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, filename, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge to the user's code: what it raises is the reason
        noted(error)
        del sys.modules[module.__name__], linecache.cache[filename]
        raise TaskProblem(f"the task does not run: {type(error).__name__}: {_first_line(error)}") from None
    return module


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]


def _module_integers(tree: ast.Module) -> dict[str, int]:
    """Names assigned once at module level from integer arithmetic, with their values."""
    values: dict[str, int] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                number = _integer(value)
                if number is None or name in values:
                    values.pop(name, None)
                else:
                    values[name] = number
    return values


def _integer(node: ast.expr) -> int | None:
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int(value)):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, _integer(left), _integer(right))
    return None


def _arithmetic(op: ast.operator, left: int | None, right: int | None) -> int | None:
    if left is None or right is None:
        return None
    match op:
        case ast.Mult():
            return left * right
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.FloorDiv():
            return left // right if right else None
        case ast.Pow() if 0 <= right <= 40:
            return int(left**right)
    return None


def _with_constants(tree: ast.Module, constants: Mapping[str, int]) -> ast.Module:
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) if name in constants:
                statement.value = ast.Constant(constants[name])
    return ast.fix_missing_locations(tree)


def call(task: TaskModule, name: str, *args: Any) -> Any:
    """Call one of the task's functions; TaskProblem with the reason where it raises."""
    try:
        return getattr(task.module, name)(*args)
    except Exception as error:
        noted(error)
        raise TaskProblem(f"{name}() raises {type(error).__name__}: {_first_line(error)}") from error
