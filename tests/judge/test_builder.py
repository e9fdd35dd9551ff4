"""What is asked to be built is a candidate's word: whatever it is, the answer is text or a module."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from common.judge.build.builder import Builder
from common.judge.build.run import Compilers
from common.judge.build.store import Store
from common.judge.build.toolchain import Toolchain
from common.judge.protocol import Extension

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
