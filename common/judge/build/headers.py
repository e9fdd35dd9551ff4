"""The lean header that stands before `torch/extension.h`, and which flags its precompiled form depends on.

`torch/extension.h` pulls in the whole C++ frontend (nn, optim, data, jit), which a kernel seldom names: parsing it and
instantiating what it mentions takes most of a compilation. The lean one has tensors, operators, autograd, CUDA helpers
and the Python bindings. Where a source needs more, the compiler says so and the whole header is used instead: the
meaning of a source that compiles is the same either way.
"""
from __future__ import annotations

import hashlib
import re

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
_MISSING = re.compile(
    r"is not a member of|has not been declared|was not declared|does not name a type|incomplete type|in namespace"
    r"|No such file|no matching function|not found by argument-dependent|invalid use of"
)


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
    """Under which a precompiled header is kept."""
    return hashlib.sha256(repr((digest, flags, LEAN)).encode()).hexdigest()[:32]


def needs_whole(errors: str) -> bool:
    """Whether a compilation with the lean header may have failed for what it lacks."""
    return any("error:" in line and _MISSING.search(line) for line in errors.splitlines())
