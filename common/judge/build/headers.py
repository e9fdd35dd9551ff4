"""The lean headers that stand before torch's own, and which flags their precompiled form depends on.

`torch/extension.h` pulls in the whole C++ frontend (nn, optim, data, jit), which a kernel seldom names: parsing it and
instantiating what it mentions takes most of a compilation. The lean one has tensors, operators, autograd, CUDA helpers
and the Python bindings. Where a source needs more, the compiler says so and the whole header is used instead: the
meaning of a source that compiles is the same either way.
"""
from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from common.judge.build.narrow import NARROW

LEAN = """#pragma once
#include <torch/types.h>
#include <torch/autograd.h>
#include <torch/utils.h>
#include <torch/cuda.h>
#include <torch/version.h>
#include <torch/csrc/Device.h>
#include <torch/csrc/Dtype.h>
#include <torch/csrc/DynamicTypes.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/python_headers.h>
#include <torch/csrc/utils/pybind.h>
"""

_LEVEL = re.compile(r"-O[123]?\Z")
_PLAIN = re.compile(r"-(?:O\w*|f[\w=-]+|m[\w=.,+-]+|W[\w=,-]*|g\w*|std=[\w+]+|pipe|pthread|D\w+(?:=[\w.]*)?)\Z")
_PLUGIN = ("-fplugin", "-fdump", "-fprofile", "-fopt-info", "-fsanitize", "-flto", "-ffile-prefix", "-fmodule")
_QUOTED = re.compile("[\u2018'`\"]([^\u2019'\"]*)[\u2019'\"]")
_LACKS = re.compile(
    r"is not a member of|has not been declared|incomplete type|does not name a type|No such file|"
    r"has no member|is undefined|is not a class"
)
_NAME = re.compile(r"[A-Za-z_]\w+")
_UNKNOWN = re.compile(r'identifier "(\w+)" is undefined|has no member "(\w+)"')
_NO_MATTER = re.compile(r"error: expected an? |no suitable (?:conversion function|constructor)\b")
"""No C++ whatever was declared; and what a class converts to or from is in the class."""


def key_flags(flags: tuple[str, ...]) -> tuple[str, ...] | None:
    """The flags a precompiled header depends on, in a normal form; None where a flag is not of the plain kind."""
    words = [word for flag in flags for word in flag.split()]
    if any(not _PLAIN.match(word) or word.startswith(_PLUGIN) for word in words):
        return None
    kept = [_normal(word) for word in words if not word.startswith(("-W", "-pipe"))]
    return tuple(sorted(dict.fromkeys(kept)))


def _normal(word: str) -> str:
    return "-O2" if _LEVEL.match(word) and word != "-O" else word


def key(digest: str, flags: tuple[str, ...]) -> str:
    """Under which a folder of headers is kept."""
    return hashlib.sha256(repr((digest, flags, LEAN, NARROW)).encode()).hexdigest()[:32]


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Headers by their names as they are included."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def vocabulary(whole: str, lean: str) -> str:
    """All names of the whole header's preprocessed text, one a line, those that the lean one lacks after a `+`."""
    known = set(_NAME.findall(lean))
    return "\n".join(name if name in known else f"+{name}" for name in sorted(set(_NAME.findall(whole))))


def needs_whole(errors: str, names: set[str]) -> bool:
    """Whether a compilation with the lean header may have failed for what it lacks.

    It may where an error quotes a name that only the whole header has, or finds a scope to lack one that it has.
    """
    return any(_points_beyond(line, names) for line in errors.splitlines() if "error:" in line)


def wrong_anyway(errors: str, names: set[str]) -> bool:
    """Whether nvcc finds nothing but faults that no header mends: what is no C++, and names that none of them has."""
    found = [line for line in errors.splitlines() if "error:" in line]
    return bool(found) and all(_wrong_anyway(line, names) for line in found)


def _wrong_anyway(line: str, names: set[str]) -> bool:
    if unknown := _UNKNOWN.search(line):
        name = unknown[1] or unknown[2]
        return name not in names and f"+{name}" not in names
    return bool(_NO_MATTER.search(line))


def _points_beyond(line: str, names: set[str]) -> bool:
    quoted = [_NAME.findall(part) for part in _QUOTED.findall(line)]
    if any(f"+{name}" in names for part in quoted for name in part):
        return True
    return bool(_LACKS.search(line)) and any(part and part[-1] in names for part in quoted[:1])
