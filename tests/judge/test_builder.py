"""What is asked to be built is a candidate's word: whatever it is, the answer is text or a module."""
from __future__ import annotations

import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from common.judge.build.builder import Builder
from common.judge.build.precompiled import LeanHeaders
from common.judge.build.run import Compilers, Ran
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
    without = SimpleNamespace(folder=lambda flags, cuda: None, precompile=lambda flags, cuda: None)
    made._lean = cast(LeanHeaders, without)
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


NVCC = """#!/bin/sh
for word; do case $word in
-I*) echo "${word#-I}" >> TRIES; set -- "$@" "$word"
  if grep -q BEYOND cuda.cu && test -d "${word#-I}/ATen"; then exit 1; fi;;
-D*|-isystem|/*|-std=*|-c|cuda.cu) set -- "$@" "$word";;
esac; shift; done
case "$*" in *-I*) ;; *) echo whole >> TRIES;; esac
if grep -q '^// nvcc:' cuda.cu; then sed -n 's|^// nvcc:|cuda.cu(1): error: |p' cuda.cu; exit 1; fi
exec g++ -x c++ -fsyntax-only "$@"
"""
"""Stands in for nvcc on a host without CUDA: a C++ compiler that is told what it knows of."""
CALLS_A_KERNEL = """#include <torch/types.h>
#include <torch/extension.h>
#include <ATen/Dispatch.h>
torch::Tensor twice(torch::Tensor x) {
  TORCH_CHECK(x.dim() == 2 && x.scalar_type() == torch::kFloat32, "two dimensions");
  auto out = torch::empty_like(x), zeros = torch::zeros({x.size(0), 4}, x.options().dtype(torch::kInt64));
  auto more = torch::full({3}, 1.0f, torch::TensorOptions().dtype(at::kHalf).device(torch::kCPU));
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "twice", [&] { out.data_ptr<scalar_t>()[0] = 1; });
  return (x.contiguous() + out).sum(1) * 2;
}
"""


@pytest.fixture
def cuda_builder(tmp_path: Path) -> Builder:
    from torch.utils import cpp_extension  # noqa: PLC0415 - takes seconds, of which the other tests have no need

    nvcc = tmp_path / "nvcc"
    nvcc.write_text(NVCC.replace("TRIES", str(tmp_path / "tries")))
    nvcc.chmod(0o755)
    includes = (*cpp_extension.include_paths("cpu"), sysconfig.get_paths()["include"])
    facts = SimpleNamespace(cuda_includes=includes, includes=includes, libraries=(), cuda_libraries=(), nvcc_flags=())
    tools = SimpleNamespace(nvcc=str(nvcc), cxx="g++", digest="", facts=facts, arch_flags=())
    return Builder(cast(Toolchain, tools), Store(tmp_path / "cache", 64), Compilers(None, 1, 200.0))


def tried(builder: Builder, tmp_path: Path, source: str) -> tuple[int, list[str]]:
    """Exit code, and which headers each try had."""
    folder = tmp_path / "sources"
    folder.mkdir(exist_ok=True)
    (folder / "cuda.cu").write_text(source)
    asked = Extension(name="m", files={"cuda.cu": source}, sources=("cuda.cu",), with_cuda=True)
    (tmp_path / "tries").write_text("")
    ran = builder._compile_one(asked, folder, "cuda.cu", "0.o")
    names = {str(builder._lean.narrow()): "narrow", str(builder._lean.plain()): "lean", "whole": "whole"}
    return ran.code, [names[line] for line in (tmp_path / "tries").read_text().splitlines()]


def test_what_calls_kernels_compiles_with_the_headers_for_it(cuda_builder: Builder, tmp_path: Path) -> None:
    assert tried(cuda_builder, tmp_path, CALLS_A_KERNEL) == (0, ["narrow"])


def test_what_those_headers_lack_is_in_the_next(cuda_builder: Builder, tmp_path: Path) -> None:
    """Whatever the compiler says of it; one that is wrong with all of them is refused in the lean one's words."""
    assert tried(cuda_builder, tmp_path, "int beyond = 1;  // BEYOND\n") == (0, ["narrow", "lean"])
    assert tried(cuda_builder, tmp_path, "int wrong = ;\n") == (1, ["narrow", "lean"])
    assert tried(cuda_builder, tmp_path, "// PYBIND11_MODULE\n") == (0, ["lean"])
    assert tried(cuda_builder, tmp_path, "// requires_grad\n") == (0, ["lean"]), "they would drop it"


WRONG_ANYWAY = (
    'expected a ";"', 'identifier "no_header_has_this" is undefined',
    'namespace "at" has no member "no_header_has_this"',
    'no suitable conversion function from "const at::DeprecatedTypeProperties" to "c10::ScalarType" exists',
)
WRONG_HERE = (
    'namespace "at" has no member "matmul"', 'namespace "std" has no member "ostringstream"',
    'identifier "matmul_out" is undefined', 'no operator "<<" matches these operands',
    'expected a ";"\n// nvcc:identifier "matmul" is undefined',
)


def test_what_no_header_mends_is_not_compiled_again(cuda_builder: Builder, tmp_path: Path) -> None:
    for said in WRONG_ANYWAY:
        assert tried(cuda_builder, tmp_path, f"// nvcc:{said}\n") == (1, ["narrow"]), said
    for said in WRONG_HERE:
        code, tries = tried(cuda_builder, tmp_path, f"// nvcc:{said}\n")
        assert code == 1 and tries[:2] == ["narrow", "lean"], said


BINDING = """#include <torch/extension.h>
torch::Tensor twice(torch::Tensor x);
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("twice", torch::wrap_pybind_function(twice), "twice"); }
"""


def test_what_binds_kernels_compiles_with_the_narrow_headers(cuda_builder: Builder, tmp_path: Path) -> None:
    """As `load_inline` writes it. No header is precompiled for that."""
    (tmp_path / "main.cpp").write_text(BINDING)
    asked = Extension(name="m", files={"main.cpp": BINDING}, sources=("main.cpp",), with_cuda=True)
    cuda_builder._compile_lean = cuda_builder._lean.precompile = None  # type: ignore[method-assign,assignment]
    ran = cuda_builder._compile_one(asked, tmp_path, "main.cpp", "0.o")
    assert ran.code == 0 and (tmp_path / "0.o").exists(), ran.text


@pytest.mark.parametrize(("source", "refused", "tries"), [
    (BINDING, False, ["narrow"]), (BINDING, True, ["narrow", "lean"]), ("// torch::nn::Linear", False, ["lean"]),
])
def test_other_cxx_beside_kernels_has_more_headers(
    cuda_builder: Builder, tmp_path: Path, source: str, refused: bool, tries: list[str]
) -> None:
    names = {cuda_builder._lean.narrow(): "narrow", cuda_builder._lean.plain(): "lean"}
    tried, precompiled = list[str](), list[bool]()

    def run(words: list[str], folder: Path, *readable: Path) -> Ran:
        tried.append(names[readable[0]])
        return Ran(int(refused and tried == ["narrow"]), "")

    def precompile(cflags: tuple[str, ...], *, cuda: bool) -> None:
        precompiled.append(cuda)

    cuda_builder._run = run  # type: ignore[method-assign]
    cuda_builder._lean.precompile = precompile  # type: ignore[method-assign]
    asked = Extension(name="m", files={"main.cpp": source}, sources=("main.cpp",), with_cuda=True)
    assert cuda_builder._compile_one(asked, tmp_path, "main.cpp", "0.o").code == 0
    assert tried == tries and precompiled == [True] * ("lean" in tries)
