"""What is asked to be built is a candidate's word: whatever it is, the answer is text or a module."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from common.judge.build.builder import Builder
from common.judge.build.precompiled import LeanHeaders
from common.judge.build.run import Compilers
from common.judge.build.store import Store
from common.judge.build.toolchain import Toolchain
from common.judge.protocol import Extension
from common.judge.sandbox import bwrap

ASKED = Extension(name="module", files={"a.cpp": ""}, sources=("a.cpp",))


@pytest.mark.parametrize("change", [
    {"files": {"../a.cpp": ""}}, {"files": {"a\0.cpp": ""}}, {"files": {"é" * 200: ""}}, {"files": {"@a": ""}},
    {"files": {"-v": ""}}, {"sources": ("/etc/passwd",)}, {"name": "a b"}, {"name": "m" * (1 << 17)},
    {"cflags": ("-D\0",)}, {"ldflags": ("-l" + "x" * (1 << 17),)}, {"cuda_cflags": ("-D",) * (1 << 17)},
    {"files": dict.fromkeys(map(str, range(1 << 14)), ""), "sources": tuple(map(str, range(1 << 14)))},
    {"cflags": ("-O2 -fplugin=a.so",)}, {"with_cuda": True},
], ids=lambda change: str(change)[:30])
def test_what_no_compiler_can_be_asked_is_refused(change: dict[str, Any]) -> None:
    """Before any is run."""
    tools = cast(Toolchain, SimpleNamespace(nvcc=""))
    builder = Builder(tools, cast(Store, None), cast(Compilers, None))
    assert builder.get(msgspec.structs.replace(ASKED, **change)).error


SPECS = ".run:\n/bin/sh %i\n\n*link_command:\n/bin/sh ./linking\n\n"
"""For GCC: what to do with a file of this kind, and to link."""


def running(compiling: str, linking: str = "true") -> Extension:
    """Two scripts in the compiler's place."""
    files = {"specs": SPECS, "a.run": compiling, "linking": linking}
    flags = ("-specs=specs",)
    return Extension(name="module", files=files, sources=("a.run",), cflags=flags, ldflags=flags)


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """Without torch's headers, of which nothing here has need."""
    none: dict[str, tuple[str, ...]] = dict.fromkeys(("includes", "libraries"), ())
    tools = cast(Toolchain, SimpleNamespace(nvcc="", cxx="g++", digest="", facts=SimpleNamespace(**none)))
    made = Builder(tools, Store(tmp_path / "cache", 64), Compilers(bwrap.find(), 1, 20.0))
    made._lean = cast(LeanHeaders, SimpleNamespace(folder=lambda flags: None, precompile=lambda flags: None))
    return made


def test_where_a_compiler_runs_something_else_its_links_are_not_followed(builder: Builder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    written = builder.get(running(f"ln -s {outside} error.txt; echo mine; exit 1"))
    assert "mine" in written.error and not outside.exists()
    outside.write_text("secret")
    read = builder.get(running("true", f"ln -sf {outside} module.so"))
    assert read.error and not read.module
    assert outside.read_text() == "secret"


@pytest.mark.parametrize("linking", ["true", "mkdir module.so", "echo text > module.so; exit 1"])
def test_where_no_module_was_written_there_is_text(builder: Builder, linking: str) -> None:
    asked = running("true", f"rm -f module.so; {linking}")
    for _ in range(2):
        built = builder.get(asked)
        assert built.error and not built.module


def test_a_module_is_read_whatever_its_rights(builder: Builder) -> None:
    assert builder.get(running("true", "rm -f module.so; echo text > module.so; chmod 0 module.so")).module == b"text\n"
