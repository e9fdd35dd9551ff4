"""A candidate that stands complete in the reasoning: its source, word for word, or nothing.

Nothing is repaired or filled in. What does not parse, leaves out a body or lacks an import is left to a fork.
"""
from __future__ import annotations

import ast
import re

_ENTRY = re.compile(r"^class\s+ModelNew\b", re.MULTILINE)
_OMITTED = re.compile(
    r"^\s*(?:#|//)\s*(?:\.\.\.|…|(?:the )?(?:same|rest|existing|previous|remaining)\b"
    r"|(?:kernel|code) (?:code )?(?:as )?(?:here|above)\b"
    r"|insert\b|paste\b|todo\b|your )|^\s*\.\.\.\s*$|\.\.\.\s*(?:\*/|\))\s*$|\{\s*\.\.\.\s*\}",
    re.MULTILINE | re.IGNORECASE,
)
_FIRST = re.compile(r"^(?:import\s+\w|from\s+[\w.]+\s+import\b)", re.MULTILINE)
_IMPORTED = {"torch", "nn", "F", "load_inline", "triton", "tl"}
"""Names that such a module takes from its imports, never from itself."""
_BY_HAND = re.compile(r"load_inline|@triton\.jit|cpp_extension|cuda_source|CUDAExtension")


def from_fence(body: str) -> str | None:
    """The content of a fenced block where it is a complete candidate."""
    return _complete(body)


def from_text(text: str) -> str | None:
    """The end of `text`, from its last run of imports on, where that is a complete candidate."""
    start = _last_imports(text)
    return None if start is None else _complete(text[start:])


def _last_imports(text: str) -> int | None:
    """Offset of the import that opens the last module in `text`: `import torch` before the last `class ModelNew`."""
    entries = list(_ENTRY.finditer(text))
    if not entries:
        return None
    before = [m.start() for m in re.finditer(r"^import torch\s*$", text[: entries[-1].start()], re.MULTILINE)]
    return before[-1] if before else None


def _complete(source: str) -> str | None:
    if not _ENTRY.search(source) or not _FIRST.search(source) or not _BY_HAND.search(source):
        return None
    if _OMITTED.search(source) or not _parses(source):
        return None
    return source.strip("\n") + "\n"


def _parses(source: str) -> bool:
    """Whether it is Python with a `ModelNew` that has a `forward`, and imports what it uses."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(map(_is_entry, module.body)) and not _missing(module)


def _is_entry(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == "ModelNew" and any(
        isinstance(item, ast.FunctionDef) and item.name == "forward" for item in node.body
    )


def _missing(module: ast.Module) -> set[str]:
    nodes = list(ast.walk(module))
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return (used & _IMPORTED) - bound
